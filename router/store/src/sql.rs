//! Statements that mean the same to every database, on a connection to either.

use std::future::Future;

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Arguments, Database, FromRow, PgConnection, Postgres, Sqlite, SqliteConnection};

/// What stands for `$1` and those after it.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    Text(&'a str),
    MaybeText(Option<&'a str>),
    Integer(i64),
    Float(f64),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::MaybeText(text)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

/// A row that either database can give: a tuple of what [`Value`] has.
pub trait Record: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<R> Record for R where R: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// A connection, or a transaction on it.
pub trait Sql: Send {
    /// Runs a statement; gives the number of rows that it has changed.
    fn run(&mut self, sql: &'static str, values: &[Value<'_>])
    -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Runs a query; gives its rows.
    fn rows<R: Record>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<R>, sqlx::Error>> + Send;
}

macro_rules! speaks {
    ($connection:ty, $database:ty, prepared: $prepared:literal) => {
        impl Sql for $connection {
            async fn run(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, sqlx::Error> {
                let query = sqlx::query_with::<$database, _>(sql, arguments!($database, values));
                Ok(query.persistent($prepared).execute(self).await?.rows_affected())
            }

            async fn rows<R: Record>(
                &mut self,
                sql: &'static str,
                values: &[Value<'_>],
            ) -> Result<Vec<R>, sqlx::Error> {
                let query = sqlx::query_as_with::<$database, R, _>(sql, arguments!($database, values));
                query.persistent($prepared).fetch_all(self).await
            }
        }
    };
}

macro_rules! arguments {
    ($database:ty, $values:ident) => {{
        let mut arguments = <$database as Database>::Arguments::default();
        for value in $values {
            let added = match *value {
                Value::Text(text) => arguments.add(text),
                Value::MaybeText(text) => arguments.add(text),
                Value::Integer(number) => arguments.add(number),
                Value::Float(number) => arguments.add(number),
            };
            added.map_err(sqlx::Error::Encode)?;
        }
        arguments
    }};
}

speaks!(SqliteConnection, Sqlite, prepared: true);
// A pooler may give the next transaction another session, which does not have what this one has prepared.
speaks!(PgConnection, Postgres, prepared: false);
