//! Which protocol a failure speaks: a property of the path that was asked.

use http::StatusCode;

use super::Kind;

/// The form of a failure's status and body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorShape {
    /// Our own: `{"error":{"code","message","request_id"}}`.
    #[default]
    Ours,
    /// text-embeddings-inference's: `{"error","error_type"}`.
    Tei,
    /// `OpenAI`'s: `{"error":{"message","type","param","code"}}`.
    OpenAi,
}

impl ErrorShape {
    /// The form that clients of this path read, whatever goes wrong there.
    #[must_use]
    pub fn of(path: &str) -> Self {
        match path {
            "/" | "/embed" | "/embed_all" | "/rerank" | "/similarity" | "/tokenize" | "/decode" | "/info" => Self::Tei,
            "/v1/embeddings" | "/v1/models" => Self::OpenAi,
            // `/v1/models/{model}:predict` and what else may stand below a model are another protocol's.
            _ => match path.strip_prefix("/v1/models/") {
                Some(model) if !model.contains(['/', ':']) => Self::OpenAi,
                _ => Self::Ours,
            },
        }
    }

    /// The status of a failure of this kind.
    #[must_use]
    pub const fn status(self, kind: Kind) -> StatusCode {
        match self {
            Self::Ours => kind.wire().0,
            Self::Tei => kind.tei().0,
            Self::OpenAi => kind.openai().0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_decides() {
        for path in ["/", "/embed", "/embed_all", "/rerank", "/similarity", "/tokenize", "/decode", "/info"] {
            assert_eq!(ErrorShape::of(path), ErrorShape::Tei, "{path}");
        }
        for path in ["/v1/embeddings", "/v1/models", "/v1/models/minilm"] {
            assert_eq!(ErrorShape::of(path), ErrorShape::OpenAi, "{path}");
        }
        for path in ["/predict", "/embeds", "/v1", "/v1/models/m:predict", "/v1/models/m/x", "/admin/rollouts"] {
            assert_eq!(ErrorShape::of(path), ErrorShape::Ours, "{path}");
        }
    }
}
