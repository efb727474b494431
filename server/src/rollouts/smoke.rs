//! Smoke tests of a canary: where they stand.

/// Which canary was tested, and how that ended.
#[derive(Debug, Default)]
pub(super) struct Smoked {
    digest: Option<String>,
    result: Option<Result<(), String>>,
}

impl Smoked {
    /// Tests of `digest` begin.
    pub(super) fn begin(&mut self, digest: &str) {
        (self.digest, self.result) = (Some(digest.to_owned()), None);
    }

    /// They have ended.
    pub(super) fn end(&mut self, result: Result<(), String>) {
        self.result = Some(result);
    }

    /// Whether those of `digest` were begun last.
    pub(super) fn is_of(&self, digest: &str) -> bool {
        self.digest.as_deref() == Some(digest)
    }

    /// How those of `digest` ended, if they have.
    pub(super) fn of(&self, digest: &str) -> Option<&Result<(), String>> {
        self.result.as_ref().filter(|_| self.is_of(digest))
    }
}
