//! What errors of PostgreSQL mean to a caller.

use sqlx::error::DatabaseError;

use super::Place;
use crate::{ErrorKind, StoreError};

/// An error of the first connection. It may be about a file that the address names, and does not say which.
pub fn of_opening(place: &Place, error: &sqlx::Error) -> StoreError {
    let shown = place.to_string();
    let unreadable = matches!(error, sqlx::Error::Io(_)).then(|| place.unreadable()).flatten();
    unreadable
        .map_or_else(|| of(&shown, error), |why| StoreError::new(ErrorKind::Unavailable, format!("{shown}: {why}")))
}

/// An error of a statement, or of reaching the database that is shown as `place`. Codes: appendix A of PostgreSQL's
/// manual.
pub fn of(place: &str, error: &sqlx::Error) -> StoreError {
    let code = error.as_database_error().and_then(DatabaseError::code);
    let unavailable = |why: String| StoreError::new(ErrorKind::Unavailable, format!("{place}: {why}"));
    match (error, code.as_deref()) {
        (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_), _) => {
            StoreError::corrupt(format!("{place} has a value of another kind: {error}"))
        }
        // Rows that contradict each other: only somebody else can have written them.
        (_, Some(code)) if code.starts_with("23") => {
            StoreError::corrupt(format!("{place} contradicts itself: {error}"))
        }
        // No such table, no such column.
        (_, Some("42P01" | "42703")) => StoreError::new(
            ErrorKind::Incompatible,
            format!("{place} has lost its tables, or was written by another version of perch: {error}"),
        ),
        (_, Some("57014" | "55P03")) => unavailable("a statement took too long and was given up".to_owned()),
        // "SSL off" before PostgreSQL 14.
        (sqlx::Error::Database(error), Some("28000"))
            if ["no encryption", "SSL off"].iter().any(|words| error.message().contains(words)) =>
        {
            let why = error.message();
            unavailable(format!("refused without encryption; write sslmode=verify-full into the address ({why})"))
        }
        (sqlx::Error::PoolTimedOut, _) => unavailable("no connection within 5 s: does it listen there?".to_owned()),
        // Shown whole, it would end with a line of PostgreSQL's own source.
        (sqlx::Error::Database(error), _) => unavailable(error.message().to_owned()),
        (sqlx::Error::Io(error), _) => {
            unavailable(certificate(&error.to_string()).unwrap_or_else(|| error.to_string()))
        }
        _ => unavailable(error.to_string()),
    }
}

/// What is wrong with the server's certificate, where that is what rustls says.
fn certificate(said: &str) -> Option<String> {
    let why = said.strip_prefix("invalid peer certificate: ")?;
    Some(match why {
        // The second: an authority of that name is known, and it has another key.
        "UnknownIssuer" | "BadSignature" => format!(
            "its certificate is by an authority that is not trusted here; \
             write sslrootcert=FILE, the certificate of that authority, into the address ({why})"
        ),
        _ => format!("its certificate is refused: {why}"),
    })
}
