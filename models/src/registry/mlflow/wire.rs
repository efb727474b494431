//! What MLflow's REST API answers, as far as perch reads it.
//!
//! Source: MLflow REST API reference; seen on 3.17.2 and 2.22.0. In 2.x `source` is where the artifact lies
//! (`mlflow-artifacts:/0/RUN_ID/artifacts/PATH`), in 3.x it is `models:/m-ID`; `get-download-uri` answers with a place in
//! both. Before 2.3 there are no `aliases`. Numbers of versions are strings and empty lists are left out in both.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `registered-models/get`.
#[derive(Deserialize)]
pub(super) struct GetModel {
    pub(super) registered_model: RegisteredModel,
}

/// `registered-models/search`.
#[derive(Deserialize)]
pub(super) struct SearchModels {
    #[serde(default)]
    pub(super) registered_models: Vec<RegisteredModel>,
    #[serde(default)]
    pub(super) next_page_token: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct RegisteredModel {
    pub(super) name: String,
    #[serde(default)]
    pub(super) aliases: Vec<Alias>,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
    /// The latest version of each stage.
    #[serde(default)]
    pub(super) latest_versions: Vec<ModelVersion>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Alias {
    pub(super) alias: String,
    pub(super) version: Number,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Tag {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

/// `model-versions/get`.
#[derive(Deserialize)]
pub(super) struct GetVersion {
    pub(super) model_version: ModelVersion,
}

/// `model-versions/search`.
#[derive(Deserialize)]
pub(super) struct SearchVersions {
    #[serde(default)]
    pub(super) model_versions: Vec<ModelVersion>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct ModelVersion {
    pub(super) version: Number,
    #[serde(default)]
    pub(super) creation_timestamp: u64,
    #[serde(default)]
    pub(super) current_stage: String,
    #[serde(default)]
    pub(super) source: String,
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) status_message: Option<String>,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
}

impl ModelVersion {
    /// `PENDING_REGISTRATION` while somebody still uploads.
    pub(super) fn is_pending(&self) -> bool {
        self.status.starts_with("PENDING")
    }

    /// Why the version will never be whole, if so.
    pub(super) fn failure(&self) -> Option<String> {
        let why = self.status_message.as_deref().filter(|why| !why.is_empty());
        (self.status.starts_with("FAILED")).then(|| format!("{}: {}", self.status, why.unwrap_or("no reason given")))
    }

    pub(super) fn tags(&self) -> BTreeMap<String, String> {
        self.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect()
    }
}

/// `model-versions/get-download-uri`.
#[derive(Deserialize)]
pub(super) struct DownloadUri {
    #[serde(default)]
    pub(super) artifact_uri: String,
}

/// `mlflow-artifacts/artifacts?path=`; paths are relative to that folder.
#[derive(Deserialize)]
pub(super) struct ListArtifacts {
    #[serde(default)]
    pub(super) files: Vec<ArtifactFile>,
}

#[derive(Deserialize)]
pub(super) struct ArtifactFile {
    pub(super) path: String,
    #[serde(default)]
    pub(super) is_dir: bool,
    /// Left out when it is 0.
    #[serde(default)]
    pub(super) file_size: Size,
}

/// Any error of the REST API.
#[derive(Deserialize)]
pub(super) struct ErrorBody {
    #[serde(default)]
    pub(super) error_code: String,
    #[serde(default)]
    pub(super) message: String,
}

/// A number of a version, from a string or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "Loose")]
pub(super) struct Number(pub(super) u64);

/// Bytes, from a number or a string: protobuf's JSON writes 64-bit numbers as strings, MLflow's does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Loose")]
pub(super) struct Size(pub(super) u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum Loose {
    Number(u64),
    Text(String),
}

impl TryFrom<Loose> for Number {
    type Error = String;

    fn try_from(loose: Loose) -> Result<Self, String> {
        number(loose).map(Self)
    }
}

impl TryFrom<Loose> for Size {
    type Error = String;

    fn try_from(loose: Loose) -> Result<Self, String> {
        number(loose).map(Self)
    }
}

fn number(loose: Loose) -> Result<u64, String> {
    match loose {
        Loose::Number(number) => Ok(number),
        Loose::Text(text) => text.parse().map_err(|_| format!("expected a whole number, got \"{text}\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_as_3_17_answers_it() {
        let text = r#"{"registered_model": {"name": "gbr", "creation_timestamp": 1795242765777,
            "latest_versions": [{"name": "gbr", "version": "3", "creation_timestamp": 1795242766965,
                "current_stage": "None", "source": "models:/m-148f", "run_id": "59d8", "status": "READY"}],
            "tags": [{"key": "perch.serve", "value": "true"}],
            "aliases": [{"alias": "stable", "version": "2"}]}}"#;
        let model = serde_json::from_str::<GetModel>(text).expect("an answer").registered_model;
        assert_eq!(model.aliases, [Alias { alias: "stable".into(), version: Number(2) }]);
        let version = &model.latest_versions[0];
        assert_eq!((version.version, version.is_pending(), version.failure()), (Number(3), false, None));
    }

    #[test]
    fn what_is_empty_is_left_out() {
        let model = serde_json::from_str::<GetModel>(r#"{"registered_model": {"name": "e"}}"#).expect("an answer");
        assert!(model.registered_model.aliases.is_empty());
        assert!(serde_json::from_str::<SearchVersions>("{}").expect("an answer").model_versions.is_empty());
        let files = r#"{"files": [{"path": "a", "is_dir": true}, {"path": "e"}, {"path": "f", "file_size": "3"}]}"#;
        let files = serde_json::from_str::<ListArtifacts>(files).expect("an answer").files;
        assert_eq!(files.iter().map(|file| file.file_size.0).collect::<Vec<_>>(), [0, 0, 3]);
    }

    #[test]
    fn odd_numbers_are_refused() {
        for version in ["\"x\"", "-1", "\"\"", "1.5"] {
            let text = format!(r#"{{"model_version": {{"version": {version}}}}}"#);
            assert!(serde_json::from_str::<GetVersion>(&text).is_err(), "{version}");
        }
    }
}
