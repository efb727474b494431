//! How one value is read from text and shown again.

use super::tree::{Kind, Scalar};
use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

/// A type that a key may have. `parse(show(x))` is `x`.
pub(super) trait Setting: Sized {
    /// The value, or what was expected and what was found.
    fn parse(scalar: &Scalar) -> Result<Self, String>;

    /// The value as the file would have it.
    fn show(&self) -> Scalar;
}

/// Any text with something in it. A number where a text belongs is refused: YAML has already turned
/// `1.10` into `1.1`.
pub(super) fn text<'s>(scalar: &'s Scalar, what: &str) -> Result<&'s str, String> {
    match scalar.kind {
        Kind::Text | Kind::Loose if !scalar.text.trim().is_empty() => Ok(&scalar.text),
        Kind::Text | Kind::Loose => Err(scalar.expected(what)),
        Kind::Number | Kind::Bool => Err(format!("{} (put it in quotes)", scalar.expected(&format!("{what} as text")))),
    }
}

impl Setting for String {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        text(scalar, "a value").map(ToOwned::to_owned)
    }

    fn show(&self) -> Scalar {
        Scalar::text(self)
    }
}

impl Setting for PathBuf {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        text(scalar, "a path").map(Self::from)
    }

    fn show(&self) -> Scalar {
        Scalar::text(Path::to_string_lossy(self))
    }
}

impl Setting for bool {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        match (scalar.kind, scalar.text.as_str()) {
            (Kind::Bool | Kind::Loose, "true") => Ok(true),
            (Kind::Bool | Kind::Loose, "false") => Ok(false),
            _ => Err(scalar.expected("true or false")),
        }
    }

    fn show(&self) -> Scalar {
        Scalar::new(self.to_string(), Kind::Bool)
    }
}

/// Digits from a scalar that may be a number.
fn whole<T: std::str::FromStr>(scalar: &Scalar, what: &str) -> Result<T, String> {
    match scalar.kind {
        Kind::Number | Kind::Loose => scalar.text.parse().ok(),
        Kind::Text | Kind::Bool => None,
    }
    .ok_or_else(|| scalar.expected(what))
}

impl Setting for usize {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        whole(scalar, "a whole number")
    }

    fn show(&self) -> Scalar {
        Scalar::number(self)
    }
}

impl Setting for u64 {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        whole(scalar, "a whole number")
    }

    fn show(&self) -> Scalar {
        Scalar::number(self)
    }
}

impl Setting for NonZeroUsize {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        whole(scalar, "a whole number from 1")
    }

    fn show(&self) -> Scalar {
        Scalar::number(self)
    }
}

impl Setting for SocketAddr {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        let what = "an address and a port such as 127.0.0.1:8000 or [::]:8000";
        let text = scalar.text.as_str();
        if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
            return Err(format!(
                "{} (a port alone; :{text} listens on all addresses, 127.0.0.1:{text} on this machine)",
                scalar.expected(what)
            ));
        }
        // As in other servers: no address is every address.
        let address = match text.strip_prefix(':') {
            Some(port) if port.parse::<u16>().is_ok() => format!("0.0.0.0:{port}").parse(),
            _ => text.parse(),
        };
        address.map_err(|_| scalar.expected(what))
    }

    fn show(&self) -> Scalar {
        Scalar::text(self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses() {
        for (text, address) in [
            ("127.0.0.1:8000", "127.0.0.1:8000"),
            ("[::]:8000", "[::]:8000"),
            ("[::1]:0", "[::1]:0"),
            (":8000", "0.0.0.0:8000"),
        ] {
            let parsed = SocketAddr::parse(&Scalar::text(text)).map(|a| a.to_string());
            assert_eq!(parsed, Ok(address.to_owned()));
        }
        for text in ["", ":", "localhost", "1.2.3.4", ":99999", "::1", "[::]", ":+1x"] {
            assert!(SocketAddr::parse(&Scalar::text(text)).is_err(), "{text}");
        }
        assert_eq!(
            SocketAddr::parse(&Scalar::number(8000)),
            Err("expected an address and a port such as 127.0.0.1:8000 or [::]:8000, got 8000 \
                 (a port alone; :8000 listens on all addresses, 127.0.0.1:8000 on this machine)"
                .to_owned())
        );
    }

    #[test]
    fn types_are_not_mixed() {
        assert_eq!(
            String::parse(&Scalar::number(1.1)),
            Err("expected a value as text, got 1.1 (put it in quotes)".to_owned())
        );
        assert_eq!(PathBuf::parse(&Scalar::text(" ")), Err("expected a path, got \" \"".to_owned()));
        assert_eq!(usize::parse(&Scalar::text("3")), Err("expected a whole number, got \"3\"".to_owned()));
        assert_eq!(usize::parse(&Scalar::loose("3")), Ok(3));
        assert_eq!(usize::parse(&Scalar::number(-3)), Err("expected a whole number, got -3".to_owned()));
        assert!(usize::parse(&Scalar::number("100000000000000000000000")).is_err());
        assert!(NonZeroUsize::parse(&Scalar::number(0)).is_err());
        assert_eq!(bool::parse(&Scalar::loose("true")), Ok(true));
        assert_eq!(bool::parse(&Scalar::new("false", Kind::Bool)), Ok(false));
        assert!(bool::parse(&Scalar::text("true")).is_err());
        assert!(bool::parse(&Scalar::loose("yes")).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer(text in ".{0,20}") {
            let scalar = Scalar::loose(text);
            let _ = SocketAddr::parse(&scalar);
            let _ = usize::parse(&scalar);
            let _ = bool::parse(&scalar);
        }
    }
}
