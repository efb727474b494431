//! What an artifact's URI means.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// Where an artifact lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a bucket of an object store.
    Bucket {
        /// The URI, as `object_store` takes it: `s3://`, `gs://`, `az://`, `abfss://`.
        uri: String,
        /// Which store.
        store: Store,
        /// The bucket or container.
        bucket: String,
        /// The folder in it, without slashes around it.
        prefix: String,
    },
    /// In a folder of this machine, or of a mount.
    Folder(PathBuf),
    /// Behind MLflow's artifact proxy, at this path.
    Proxied(String),
}

/// Kinds of object stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Amazon S3 and what speaks its protocol, `MinIO` among them.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

/// What perch can read from.
const TAKEN: &str = "s3://, gs://, az://, abfss://, file:// and mlflow-artifacts:/";

/// Reads an artifact's URI.
///
/// # Errors
/// When its scheme is not one of ours, or it names nothing.
pub fn parse(uri: &str) -> Result<Place, String> {
    if uri.starts_with('/') {
        return Ok(Place::Folder(uri.into()));
    }
    let (scheme, rest) = uri.split_once(':').ok_or_else(|| format!("no scheme, expected one of {TAKEN}"))?;
    let scheme = scheme.to_ascii_lowercase();
    let store = match scheme.as_str() {
        "s3" | "s3a" => Store::S3,
        "gs" => Store::Google,
        "az" | "azure" | "adl" | "abfs" | "abfss" => Store::Azure,
        "file" => return folder(rest),
        "mlflow-artifacts" => return proxied(rest),
        _ => return Err(format!("scheme {scheme}:, expected one of {TAKEN}")),
    };
    let rest = rest.strip_prefix("//").unwrap_or_default();
    let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    // abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH
    let bucket = authority.split('@').next().unwrap_or_default();
    if bucket.is_empty() {
        return Err("no bucket".to_owned());
    }
    let prefix = prefix.trim_matches('/').to_owned();
    Ok(Place::Bucket { uri: uri.to_owned(), store, bucket: bucket.to_owned(), prefix })
}

fn folder(rest: &str) -> Result<Place, String> {
    let path = rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//")).unwrap_or(rest);
    if !path.starts_with('/') {
        return Err("expected file:///FOLDER with an absolute path".to_owned());
    }
    let path = percent_decode_str(path).decode_utf8().map_err(|error| error.to_string())?;
    Ok(Place::Folder(path.into_owned().into()))
}

/// `mlflow-artifacts:/0/…`, or with the server's address as `mlflow-artifacts://host:port/0/…`: it is the server that
/// was asked in either case.
fn proxied(rest: &str) -> Result<Place, String> {
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
        None => rest,
    };
    let path = path.trim_matches('/');
    if path.is_empty() { Err("no path".to_owned()) } else { Ok(Place::Proxied(path.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_of_mlflow() {
        for (uri, path) in [
            ("mlflow-artifacts:/0/models/m-1/artifacts", "0/models/m-1/artifacts"),
            ("mlflow-artifacts://mlflow:5000/0/m/", "0/m"),
        ] {
            assert_eq!(parse(uri), Ok(Place::Proxied(path.into())), "{uri}");
        }
        for (uri, path) in [("file:///a/b%20c", "/a/b c"), ("/a/b", "/a/b"), ("file:/a", "/a")] {
            assert_eq!(parse(uri), Ok(Place::Folder(path.into())), "{uri}");
        }
        for (uri, expected, name, folder) in [
            ("s3://mlflow/direct/models/m-1/artifacts", Store::S3, "mlflow", "direct/models/m-1/artifacts"),
            ("s3a://b/", Store::S3, "b", ""),
            ("gs://b/p", Store::Google, "b", "p"),
            ("abfss://c@account.dfs.core.windows.net/p/q", Store::Azure, "c", "p/q"),
        ] {
            let Ok(Place::Bucket { store, bucket, prefix, .. }) = parse(uri) else { panic!("{uri}") };
            assert_eq!((store, bucket.as_str(), prefix.as_str()), (expected, name, folder), "{uri}");
        }
    }

    #[test]
    fn others_are_refused_by_name() {
        for (uri, message) in [
            ("dbfs:/models/1", "scheme dbfs:, expected one of s3://"),
            ("models:/m/1", "scheme models:"),
            ("relative/path", "no scheme"),
            ("s3:///prefix", "no bucket"),
            ("file://relative", "absolute"),
            ("mlflow-artifacts:/", "no path"),
        ] {
            let error = parse(uri).expect_err(uri);
            assert!(error.contains(message), "{uri}: {error}");
        }
    }
}
