//! Which database, and which schema in it.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

/// What may stand behind `?`, as in libpq; `schema` is ours.
const KNOWN: [&str; 9] =
    ["application_name", "dbname", "host", "port", "schema", "sslcert", "sslkey", "sslmode", "sslrootcert"];
/// Of them, those that name a file.
const FILES: [&str; 3] = ["sslcert", "sslkey", "sslrootcert"];
/// Our schema, where the address names no other.
const SCHEMA: &str = "perch";
/// PostgreSQL cuts longer names off.
const MAX_NAME: usize = 63;

/// The address of a database: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…&schema=…`. Shown without its
/// password.
#[derive(Clone)]
pub struct Place {
    pub(super) options: PgConnectOptions,
    pub(super) schema: String,
    url: Url,
}

impl Place {
    /// Where our tables are.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The first file that it names and that cannot be read, and why.
    pub(super) fn unreadable(&self) -> Option<String> {
        self.url.query_pairs().filter(|(key, _)| FILES.contains(&key.as_ref())).find_map(|(key, path)| {
            let error = File::open(path.as_ref()).err()?;
            Some(format!("{key} names {path}, which cannot be read: {error}"))
        })
    }
}

impl FromStr for Place {
    type Err = String;

    /// Errors never repeat the address: it may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE";
        let url = Url::parse(text).map_err(|error| format!("{EXPECTED}: {error}"))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(format!("{EXPECTED}, got \"{}:\"", url.scheme()));
        }
        let mut schema = SCHEMA.to_owned();
        for (key, value) in url.query_pairs() {
            if !KNOWN.contains(&key.as_ref()) {
                return Err(format!(
                    "unknown parameter \"{key}\" of the address: expected one of {}",
                    KNOWN.join(", ")
                ));
            }
            // sqlx would take what stands in the file, too, and we would show it.
            if FILES.contains(&key.as_ref()) && value.contains("-----BEGIN") {
                return Err(format!("parameter \"{key}\" of the address is not the path of a file"));
            }
            if key == "schema" {
                schema = value.into_owned();
            }
        }
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        let name = schema.starts_with(plain) && schema.chars().all(|c| plain(c) || c.is_ascii_digit());
        if !name || schema.len() > MAX_NAME || schema.starts_with("pg_") {
            let expected = "expected small letters, digits and _, at most 63, not beginning with a digit or pg_";
            return Err(format!("parameter \"schema\" of the address is {schema:?}: {expected}"));
        }
        let named = |(key, _): (Cow<'_, str>, Cow<'_, str>)| key == "dbname";
        if url.path().trim_start_matches('/').is_empty() && !url.query_pairs().any(named) {
            return Err(format!("{EXPECTED}: it names no database"));
        }
        let mut options = PgConnectOptions::from_url(&without_schema(&url)).map_err(|error| error.to_string())?;
        if !url.query_pairs().any(|(key, _)| key == "application_name") {
            options = options.application_name("perch");
        }
        let checks = url.query_pairs().any(|(key, _)| key == "sslrootcert");
        let options = if checks { checking(options)? } else { options };
        Ok(Self { options, schema, url })
    }
}

/// Whoever names an authority wants certificates checked against it. `require` then does, as in libpq; sqlx takes any.
fn checking(options: PgConnectOptions) -> Result<PgConnectOptions, String> {
    match options.get_ssl_mode() {
        PgSslMode::VerifyCa | PgSslMode::VerifyFull => Ok(options),
        PgSslMode::Require => Ok(options.ssl_mode(PgSslMode::VerifyCa)),
        _ => {
            Err("parameter \"sslrootcert\" of the address is used with sslmode=verify-full, verify-ca or require only"
                .into())
        }
    }
}

/// The address as others know it.
fn without_schema(url: &Url) -> Url {
    let kept: Vec<(String, String)> =
        url.query_pairs().filter(|(key, _)| key != "schema").map(|(key, value)| (key.into(), value.into())).collect();
    let mut url = url.clone();
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    url
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.url.clone();
        if url.password().is_some() {
            // Fails for addresses that cannot have one.
            let _ = url.set_password(Some("***"));
        }
        f.write_str(url.as_str())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url
    }
}

impl Eq for Place {}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        text.parse::<Place>().unwrap_err()
    }

    #[test]
    fn addresses_are_shown_without_their_passwords() {
        let place: Place = "postgres://me:hunter2@db:5433/mlflow?sslmode=verify-full&schema=prod_2".parse().unwrap();
        assert_eq!(place.to_string(), "postgres://me:***@db:5433/mlflow?sslmode=verify-full&schema=prod_2");
        assert!(!format!("{place:?}").contains("hunter2"));
        assert_eq!(place.schema(), "prod_2");
        assert_eq!((place.options.get_host(), place.options.get_port()), ("db", 5433));
        assert_eq!(place.options.get_database(), Some("mlflow"));
        let place: Place = "postgresql:///perch?host=/run/postgresql".parse().unwrap();
        assert_eq!((place.schema(), place.options.get_database()), ("perch", Some("perch")));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_address() {
        for (text, expected) in [
            ("mysql://a:hunter2@b/c", "got \"mysql:\""),
            ("postgres://a:hunter2@b:port/c", "invalid port number"),
            ("postgres://a:hunter2@b", "it names no database"),
            ("postgres://a:hunter2@b/c?sslmod=require", "unknown parameter \"sslmod\""),
            ("postgres://a:hunter2@b/c?sslmode=maybe", "maybe"),
            ("postgres://a:hunter2@b/c?sslrootcert=/ca.crt", "is used with sslmode=verify-full"),
            ("postgres://a:hunter2@b/c?sslmode=prefer&sslrootcert=/ca.crt", "is used with sslmode=verify-full"),
            ("postgres://a:b@b/c?sslkey=-----BEGIN+hunter2", "parameter \"sslkey\" of the address is not the path"),
            ("postgres://a:hunter2@b/c?schema=Perch", "parameter \"schema\" of the address is \"Perch\""),
            ("postgres://a:hunter2@b/c?schema=a;drop", "parameter \"schema\""),
            ("postgres://a:hunter2@b/c?schema=pg_x", "parameter \"schema\""),
            ("postgres://a:hunter2@b/c?schema=", "parameter \"schema\""),
        ] {
            let error = wrong(text);
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
