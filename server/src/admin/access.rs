//! Who may use /admin: whoever has the token, or, where no token is set, whoever is on this machine.

use std::net::SocketAddr;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, uri::Authority};
use subtle::ConstantTimeEq as _;

use crate::config::{Secret, Server};
use crate::error::{ApiError, Kind};

/// The rule of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// With `Authorization: Bearer TOKEN`.
    Token(Secret),
    /// Without, since the listener is bound to this machine.
    Loopback,
    /// Nobody: the listener is open to others and no token is set.
    Off,
    /// Nobody: /admin has a listener of its own.
    Elsewhere,
}

impl Access {
    /// The rule of the main listener.
    #[must_use]
    pub fn of_main(server: &Server) -> Self {
        if server.admin_listen.is_some() { Self::Elsewhere } else { Self::at(server.listen, server) }
    }

    /// The rule of a listener at `address`.
    #[must_use]
    pub fn at(address: SocketAddr, server: &Server) -> Self {
        match &server.admin_token {
            Some(token) => Self::Token(token.clone()),
            None if address.ip().is_loopback() => Self::Loopback,
            None => Self::Off,
        }
    }

    /// Decides by a request's headers.
    ///
    /// # Errors
    /// 401 without the right token, 403 for pages of other sites, 404 where there is no /admin.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        match self {
            Self::Token(token) => check_token(token, headers),
            Self::Loopback => check_local(headers),
            Self::Off => Err(ApiError::new(
                Kind::NotFound,
                "/admin is off: set server.adminToken, or bind server.adminListen to loopback",
            )),
            Self::Elsewhere => Err(ApiError::new(Kind::NotFound, "/admin is served on server.adminListen only")),
        }
    }
}

fn check_token(token: &Secret, headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes);
    let (scheme, given) = given.and_then(|given| given.split_at_checked(7)).unwrap_or_default();
    // In the same time wherever they differ: nobody finds the token out byte by byte.
    let right = scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(given.ct_eq(token.expose().as_bytes()));
    if right {
        Ok(())
    } else {
        Err(ApiError::new(Kind::Unauthorized, "expected Authorization: Bearer with the admin token"))
    }
}

/// A page in a browser on this machine can send requests here, too: it says its origin, or, when its name was made to
/// mean this machine, a host that is not ours.
fn check_local(headers: &HeaderMap) -> Result<(), ApiError> {
    if headers.contains_key(ORIGIN) {
        let message = "without server.adminToken, /admin takes no requests of web pages (an Origin header came)";
        return Err(ApiError::new(Kind::Forbidden, message));
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    match host {
        Some(host) if !is_local(host) => Err(ApiError::new(
            Kind::Forbidden,
            format!("without server.adminToken, /admin is for localhost, got Host \"{host}\""),
        )),
        _ => Ok(()),
    }
}

fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(http::HeaderName, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value"))).collect()
    }

    fn status(access: &Access, list: &[(http::HeaderName, &str)]) -> u16 {
        access.check(&headers(list)).map_or_else(|error| error.kind.wire().0.as_u16(), |()| 200)
    }

    #[test]
    fn the_rule_follows_token_and_address() {
        let server = |listen: &str, admin: Option<&str>, token: Option<&str>| Server {
            listen: listen.parse().expect("an address"),
            admin_listen: admin.map(|admin| admin.parse().expect("an address")),
            admin_token: token.map(Secret::new),
            ..Server::default()
        };
        let token = Access::Token(Secret::new("t"));
        for (listen, admin, secret, expected) in [
            ("127.0.0.1:1", None, None, Access::Loopback),
            ("[::1]:1", None, None, Access::Loopback),
            ("0.0.0.0:1", None, None, Access::Off),
            ("0.0.0.0:1", None, Some("t"), token.clone()),
            ("127.0.0.1:1", None, Some("t"), token),
            ("0.0.0.0:1", Some("127.0.0.1:2"), None, Access::Elsewhere),
        ] {
            assert_eq!(Access::of_main(&server(listen, admin, secret)), expected, "{listen} {admin:?} {secret:?}");
        }
    }

    #[test]
    fn the_token_is_asked_for() {
        let access = Access::Token(Secret::new("right"));
        for (value, expected) in [
            ("Bearer right", 200),
            ("bearer right", 200),
            ("Bearer wrong", 401),
            ("Bearer right2", 401),
            ("right", 401),
            ("", 401),
        ] {
            assert_eq!(status(&access, &[(AUTHORIZATION, value)]), expected, "{value}");
        }
        assert_eq!(status(&access, &[]), 401);
    }

    #[test]
    fn without_a_token_only_this_machine_and_no_web_page_is_let_in() {
        for (list, expected) in [
            (&[(HOST, "127.0.0.1:8000")][..], 200),
            (&[(HOST, "localhost:8000")], 200),
            (&[(HOST, "[::1]:8000")], 200),
            (&[], 200),
            (&[(HOST, "evil.example")], 403),
            (&[(HOST, "127.0.0.1:8000"), (ORIGIN, "http://evil.example")], 403),
        ] {
            assert_eq!(status(&Access::Loopback, list), expected, "{list:?}");
        }
        assert_eq!(status(&Access::Off, &[]), 404);
        assert_eq!(status(&Access::Elsewhere, &[]), 404);
    }
}
