//! S3 credentials from the shared credentials file, which `object_store` does not read.
//!
//! The order is that of Amazon's own tools: the environment, a web identity (a pod's role), this file, then the
//! container's or the instance's role. Source: AWS SDKs and Tools Reference Guide, "Shared config and credentials
//! files".

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use ini::Ini;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;

/// Reads the file anew for each request: whoever rotates keys writes them there.
#[derive(Debug)]
pub(super) struct FileCredentials {
    path: PathBuf,
    profile: String,
}

impl FileCredentials {
    /// The file's credentials, where nothing stronger is set and the file has the profile.
    pub(super) fn from_env() -> Option<Self> {
        Self::from_variables(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        if variable("AWS_ACCESS_KEY_ID").is_some() || variable("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
            return None;
        }
        let named = variable("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        let path = named.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".aws/credentials")))?;
        let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        read(&path, &profile).ok().map(|_| Self { path, profile })
    }
}

fn read(path: &Path, profile: &str) -> Result<AwsCredential, String> {
    let file = Ini::load_from_file_noescape(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let missing = |key: &str| format!("{}: profile {profile} has no {key}", path.display());
    let section = file.section(Some(profile)).ok_or_else(|| format!("{}: no profile {profile}", path.display()))?;
    let get = |key: &str| section.get(key).map(str::to_owned).ok_or_else(|| missing(key));
    Ok(AwsCredential {
        key_id: get("aws_access_key_id")?,
        secret_key: get("aws_secret_access_key")?,
        token: section.get("aws_session_token").map(str::to_owned),
    })
}

#[async_trait]
impl CredentialProvider for FileCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let failed = |error: String| object_store::Error::Generic { store: "S3", source: error.into() };
        read(&self.path, &self.profile).map(Arc::new).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_counts_where_nothing_stronger_is_set() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("credentials");
        let text = "[default]\naws_access_key_id = A\naws_secret_access_key = S/\\x+=\n\n[team]\naws_access_key_id=B\n\
                    aws_secret_access_key=T\naws_session_token=U\n";
        std::fs::write(&path, text).expect("written");
        let file = path.display().to_string();
        let found = |more: &[(&str, &str)]| {
            let variables: Vec<(&str, &str)> =
                [("AWS_SHARED_CREDENTIALS_FILE", file.as_str())].into_iter().chain(more.iter().copied()).collect();
            let get = |name: &str| Some(variables.iter().find(|(key, _)| *key == name)?.1.to_owned());
            FileCredentials::from_variables(get).map(|found| read(&found.path, &found.profile).expect("read before"))
        };
        let default = found(&[]).expect("the default profile");
        assert_eq!((default.key_id.as_str(), default.secret_key.as_str(), default.token), ("A", "S/\\x+=", None));
        let team = found(&[("AWS_PROFILE", "team")]).expect("the named profile");
        assert_eq!((team.key_id.as_str(), team.token.as_deref()), ("B", Some("U")));
        assert!(found(&[("AWS_PROFILE", "nobody")]).is_none());
        assert!(found(&[("AWS_ACCESS_KEY_ID", "C")]).is_none(), "the environment is stronger");
        assert!(found(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/t")]).is_none(), "so is a pod's role");
    }
}
