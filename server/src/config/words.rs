//! Values that are words of ours: threads, names, and kinds of things.

use super::{
    schema::{LogFormat, Threads},
    setting::{Setting, text},
    tree::{Kind, Scalar},
};
use std::{fmt, num::NonZeroUsize};

mod device;
mod registry;
pub(super) use registry::{Kind as RegistryKind, MlflowUri, Stage, Switch, Variable};

/// More threads or copies than this is a slip, not a wish.
const MAX_THREADS: usize = 1024;

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(number) => write!(f, "{number}"),
        }
    }
}

impl Setting for Threads {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        if scalar.text == "auto" {
            return Ok(Self::Auto);
        }
        Instances::parse(scalar)
            .map(|count| Self::Fixed(count.0))
            .map_err(|_| scalar.expected(&format!("auto or 1 to {MAX_THREADS}")))
    }

    fn show(&self) -> Scalar {
        match self {
            Self::Auto => Scalar::text("auto"),
            Self::Fixed(number) => Scalar::number(number),
        }
    }
}

/// A count of things that each cost a machine something.
pub(super) struct Instances(pub NonZeroUsize);

impl Setting for Instances {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        NonZeroUsize::parse(scalar)
            .ok()
            .filter(|count| count.get() <= MAX_THREADS)
            .map(Self)
            .ok_or_else(|| scalar.expected(&format!("1 to {MAX_THREADS}")))
    }

    fn show(&self) -> Scalar {
        self.0.show()
    }
}

impl Setting for LogFormat {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        match scalar.text.as_str() {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(scalar.expected("auto, text or json")),
        }
    }

    fn show(&self) -> Scalar {
        Scalar::text(match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// The name of a model or an alias: it becomes a folder's name, a path of a URL and a label.
pub(super) struct Name(pub String);

impl Setting for Name {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        let what = "a name of letters, digits, '.', '_' and '-'";
        let name = text(scalar, what)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        // `.` and `..` would leave the folder of models.
        if name.chars().all(fits) && name.chars().any(|c| c != '.') {
            Ok(Self(name.to_owned()))
        } else {
            Err(scalar.expected(what))
        }
    }

    fn show(&self) -> Scalar {
        Scalar::text(&self.0)
    }
}

/// An address of HTTP.
pub(super) struct Url(pub String);

impl Setting for Url {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        ["http://", "https://"]
            .into_iter()
            .find_map(|scheme| scalar.text.strip_prefix(scheme))
            .filter(|host| !host.is_empty() && !host.contains(char::is_whitespace))
            .map(|_| Self(scalar.text.clone()))
            .ok_or_else(|| scalar.expected("a URL such as http://localhost:4318"))
    }

    fn show(&self) -> Scalar {
        Scalar::new(&self.0, Kind::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads() {
        let four = NonZeroUsize::new(4).map(Threads::Fixed);
        assert_eq!(Threads::parse(&Scalar::text("auto")), Ok(Threads::Auto));
        assert_eq!(Threads::parse(&Scalar::number(4)).ok(), four);
        assert_eq!(Threads::parse(&Scalar::loose("4")).ok(), four);
        for scalar in [Scalar::number(0), Scalar::number(1025), Scalar::text("many")] {
            let message = Threads::parse(&scalar).unwrap_err();
            assert!(message.starts_with("expected auto or 1 to 1024, got"), "{message}");
        }
    }

    #[test]
    fn names_and_kinds() {
        for name in ["curve_forecaster", "minilm-v2.1", "7"] {
            assert!(Name::parse(&Scalar::text(name)).is_ok(), "{name}");
        }
        for name in ["", " ", "a b", "a/b", "..", ".", "ä"] {
            assert!(Name::parse(&Scalar::text(name)).is_err(), "{name}");
        }
        assert!(Name::parse(&Scalar::number(7)).is_err());
        assert!(Url::parse(&Scalar::text("http://c:4318")).is_ok());
        for url in ["c:4318", "http://", "http://a b"] {
            assert!(Url::parse(&Scalar::text(url)).is_err(), "{url}");
        }
        assert!(LogFormat::parse(&Scalar::text("xml")).is_err());
    }
}
