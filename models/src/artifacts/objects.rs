//! Artifacts in object stores and folders, by the crate `object_store`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, Certificate, ClientOptions, GetOptions, GetRange, ObjectStore, RetryConfig};

use parking_lot::Mutex;

use super::credentials::FileCredentials;
use super::remote::{Reading, Remote, RemoteError, RemoteFile};
use super::uri::Store;
use crate::registry::BoxFuture;

/// Object stores that were opened: each has a client with connections and certificates of its own.
#[derive(Default)]
pub struct Stores {
    options: Options,
    opened: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

/// How object stores are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The endpoint of S3, where it is not Amazon's own.
    pub s3_endpoint: Option<String>,
    /// Certificates to trust beside the system's, in PEM.
    pub ca_cert: Option<Vec<u8>>,
}

/// A folder in a bucket or on this machine.
pub struct Objects {
    uri: String,
    store: Arc<dyn ObjectStore>,
    prefix: object_store::path::Path,
}

impl Stores {
    /// Stores that are reached so. None is opened yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, opened: Mutex::default() }
    }

    /// A folder in a bucket. Credentials come from the environment, for S3 from the shared credentials file too, and
    /// from the instance's or the pod's role.
    ///
    /// # Errors
    /// When the environment's settings contradict each other.
    pub fn folder(&self, uri: &str, store: Store, bucket: &str, prefix: &str) -> Result<Objects, String> {
        let prefix = object_store::path::Path::parse(prefix).map_err(|error| error.to_string())?;
        // Azure's account is part of the authority, too.
        let authority = uri.split('/').nth(2).unwrap_or(bucket);
        // A credentials file may come later than we do.
        let key = format!("{store:?} {authority} {}", FileCredentials::from_env().is_some());
        let mut opened = self.opened.lock();
        let store = match opened.get(&key) {
            Some(opened) => opened.clone(),
            None => {
                let new = open(uri, store, bucket, &self.options)?;
                opened.entry(key).or_insert(new).clone()
            }
        };
        Ok(Objects { uri: uri.to_owned(), store, prefix })
    }
}

fn open(uri: &str, store: Store, bucket: &str, options: &Options) -> Result<Arc<dyn ObjectStore>, String> {
    let invalid = |error: object_store::Error| error.to_string();
    let client = client(options)?;
    Ok(match store {
        Store::S3 => Arc::new(s3(bucket, options, client).build().map_err(invalid)?),
        Store::Google => {
            let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket);
            Arc::new(builder.with_client_options(client).with_retry(retry()).build().map_err(invalid)?)
        }
        Store::Azure => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(uri);
            Arc::new(builder.with_client_options(client).with_retry(retry()).build().map_err(invalid)?)
        }
    })
}

impl Objects {
    /// A folder of this machine.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn folder(path: &Path) -> Result<Self, String> {
        let store = LocalFileSystem::new_with_prefix(path).map_err(|error| error.to_string())?;
        let uri = format!("file://{}", path.display());
        Ok(Self { uri, store: Arc::new(store), prefix: object_store::path::Path::default() })
    }

    fn location(&self, path: &str) -> Result<object_store::path::Path, RemoteError> {
        let full = format!("{}/{path}", self.prefix);
        object_store::path::Path::parse(full.trim_start_matches('/'))
            .map_err(|error| RemoteError::Permanent(error.to_string()))
    }
}

fn s3(bucket: &str, options: &Options, client: ClientOptions) -> AmazonS3Builder {
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry());
    if let Some(endpoint) = &options.s3_endpoint {
        // Path style is object_store's default, and what MinIO needs.
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(credentials) = FileCredentials::from_env() {
        builder = builder.with_credentials(Arc::new(credentials));
    }
    builder.with_client_options(client)
}

fn client(options: &Options) -> Result<ClientOptions, String> {
    // No bound on a whole download: large files take long. A stall is noticed chunk by chunk.
    let mut client =
        ClientOptions::new().with_allow_http(true).with_timeout_disabled().with_connect_timeout(Duration::from_secs(5));
    if let Some(pem) = &options.ca_cert {
        for certificate in Certificate::from_pem_bundle(pem).map_err(|error| error.to_string())? {
            client = client.with_root_certificate(certificate);
        }
    }
    Ok(client)
}

/// Short: whoever asked tries again, later and with what is here already.
fn retry() -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(2), base: 2.0 };
    RetryConfig { backoff, max_retries: 3, retry_timeout: Duration::from_secs(20) }
}

impl Remote for Objects {
    fn uri(&self) -> &str {
        &self.uri
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<RemoteFile>, RemoteError>> {
        Box::pin(async {
            let prefix = Some(&self.prefix).filter(|prefix| !prefix.as_ref().is_empty());
            let objects: Vec<_> = self.store.list(prefix).try_collect().await.map_err(|error| failed(&error))?;
            let inside = |location: &object_store::path::Path| {
                let parts: Vec<_> = location.prefix_match(&self.prefix)?.map(|part| part.as_ref().to_owned()).collect();
                (!parts.is_empty()).then(|| parts.join("/"))
            };
            let file = |object: object_store::ObjectMeta| {
                Some(RemoteFile { path: inside(&object.location)?, bytes: object.size, etag: object.e_tag })
            };
            Ok(objects.into_iter().filter_map(file).collect())
        })
    }

    fn read<'r>(&'r self, file: &'r RemoteFile, from: u64) -> BoxFuture<'r, Result<Reading, RemoteError>> {
        Box::pin(async move {
            let location = self.location(&file.path)?;
            let mut options = GetOptions { if_match: file.etag.clone(), ..GetOptions::default() };
            if from > 0 {
                options.range = Some(GetRange::Offset(from));
            }
            let result = self.store.get_opts(&location, options).await.map_err(|error| failed(&error))?;
            let from = result.range.start;
            let chunks = result.into_stream().map(|chunk| chunk.map_err(|error| failed(&error)));
            Ok(Reading { from, chunks: Box::pin(chunks) })
        })
    }
}

/// Where the instance's role is asked for when there is nothing else.
const INSTANCE_METADATA: &str = "169.254.169.254";

fn failed(error: &object_store::Error) -> RemoteError {
    use object_store::Error;
    let text = flat(error);
    if text.contains(INSTANCE_METADATA) {
        return RemoteError::Transient(format!(
            "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in the credentials file, or \
             give the pod or instance a role ({text})"
        ));
    }
    match error {
        Error::Precondition { path, .. } => RemoteError::Changed(path.clone()),
        Error::NotFound { .. }
        | Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::InvalidPath { .. }
        | Error::NotSupported { .. }
        | Error::UnknownConfigurationKey { .. } => RemoteError::Permanent(text),
        _ => RemoteError::Transient(text),
    }
}

/// An error with its causes on one line, each said once.
fn flat(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_is_listed_with_its_subfolders_and_read_from_anywhere() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("sub folder")).expect("made");
        std::fs::write(dir.path().join("model.onnx"), "0123456789").expect("written");
        std::fs::write(dir.path().join("sub folder/w~1.bin"), "abc").expect("written");
        let objects = Objects::folder(dir.path()).expect("there");
        let mut files = objects.list().await.expect("readable");
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let found: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.bytes)).collect();
        assert_eq!(found, [("model.onnx", 10), ("sub folder/w~1.bin", 3)]);
        for (file, from, expected) in [(0, 0, "0123456789"), (0, 4, "456789"), (1, 1, "bc")] {
            let reading = objects.read(&files[file], from).await.expect("readable");
            assert_eq!(reading.from, from);
            let chunks: Vec<_> = reading.chunks.try_collect().await.expect("all of it");
            assert_eq!(chunks.concat(), expected.as_bytes());
        }
        std::fs::write(dir.path().join("model.onnx"), "another one").expect("written");
        let changed = objects.read(&files[0], 0).await.err();
        assert!(matches!(changed, Some(RemoteError::Changed(_))), "{changed:?}");
        let missing = RemoteFile { path: "none".into(), bytes: 1, etag: None };
        assert!(matches!(objects.read(&missing, 0).await.err(), Some(RemoteError::Permanent(_))));
        assert!(Objects::folder(&dir.path().join("none")).is_err());
    }
}
