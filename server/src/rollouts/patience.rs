//! How long a call of the store is waited for.

use std::time::Duration;

use perch_store::StoreError;

/// The answer, where it comes within `patience`: a store that is silent is away.
pub(super) async fn within<T>(
    patience: Duration,
    calling: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    // Boxed: a query's future is large, and whoever awaits it would be so, too.
    let answer = tokio::time::timeout(patience, Box::pin(calling)).await;
    answer.unwrap_or_else(|_| Err(StoreError::unavailable(format!("it did not answer within {patience:?}"))))
}
