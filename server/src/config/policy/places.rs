//! What a path in a policy is relative to.

use crate::config::tree::Source;
use perch_router::policy::{RolloutPolicy, Secret, SmokeTests};
use std::path::{Path, PathBuf, absolute};

/// The folder that relative paths are in: the file's, or for variables and flags the working directory.
pub(super) fn folder(source: &Source) -> PathBuf {
    match source {
        Source::File { name, .. } => Path::new(&**name).parent().unwrap_or(Path::new("")).to_owned(),
        Source::Default | Source::Env(_) | Source::Flag(_) => PathBuf::new(),
    }
}

/// Makes every path in the policy absolute: whoever uses one later does not know where it was written.
pub(super) fn resolve(policy: &mut RolloutPolicy, folder: &Path) {
    let strategy = &mut policy.strategy;
    let stepwise = strategy.canary.as_mut().map(|canary| &mut canary.smoke_tests);
    let at_once = strategy.blue_green.as_mut().map(|blue_green| &mut blue_green.smoke_tests);
    let tests = stepwise.into_iter().chain(at_once).filter_map(|tests| match tests {
        SmokeTests::File(path) => Some(path),
        SmokeTests::Off | SmokeTests::Own => None,
    });
    let addresses = policy.notifications.iter_mut().filter_map(|notification| match &mut notification.url_from {
        Some(Secret::File(path)) => Some(path),
        _ => None,
    });
    for path in tests.chain(addresses).filter(|path| !path.trim().is_empty()) {
        let joined = folder.join(&*path);
        *path = absolute(&joined).unwrap_or(joined).to_string_lossy().into_owned();
    }
}

/// The numbers at the end of `rollouts/curve.yaml:12:9`, to sort by.
pub(super) fn line_and_column(place: &str) -> (u64, u64) {
    let mut numbers = place.rsplit(':').map_while(|part| part.parse().ok());
    let column = numbers.next().unwrap_or_default();
    (numbers.next().unwrap_or_default(), column)
}
