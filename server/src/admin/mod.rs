//! `/admin`: what changes a running server. Who may ask is decided in [`access`].

pub mod access;
mod refresh;
mod rollouts;
mod webhook;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use self::access::Access;
use self::refresh::Refreshing;
use self::rollouts::Rolling;
use self::webhook::Webhook;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::error::{ApiError, Kind};
use crate::lifecycle::Lifecycle;
use crate::reconcile::Refresh;
use crate::rollouts::Rollouts;

/// What /admin works on.
#[derive(Clone)]
pub struct Admin {
    /// The configuration.
    pub config: Arc<Config>,
    /// What is loaded.
    pub catalog: Arc<Catalog>,
    /// Tells the reconciler.
    pub refresh: Refresh,
    /// What rolls out.
    pub rollouts: Rollouts,
    /// Knows about shutdown.
    pub lifecycle: Arc<Lifecycle>,
}

impl Admin {
    /// All paths below `/admin`, behind the rule of `access`.
    pub fn routes(&self, access: Access) -> Router {
        let refreshing = Refreshing {
            refresh: self.refresh.clone(),
            catalog: self.catalog.clone(),
            follows_all: self.config.models.is_empty() || self.config.registry.select.is_some(),
        };
        let access = Arc::new(access);
        let webhook = Webhook { access: access.clone(), refresh: self.refresh.clone() };
        let guard = move |request: Request, next: Next| {
            let allowed = access.check(request.headers());
            async move {
                match allowed {
                    Ok(()) => next.run(request).await,
                    Err(error) => error.into_response(),
                }
            }
        };
        Router::new()
            .route("/admin/models/{model}/refresh", post(refresh::refresh).fallback(wrong_method))
            .with_state(refreshing)
            .merge(rollouts::routes(Rolling {
                rollouts: self.rollouts.clone(),
                stopping: self.lifecycle.stopping().clone(),
            }))
            .route("/admin", axum::routing::any(unknown))
            .route("/admin/{*path}", axum::routing::any(unknown))
            .layer(from_fn(guard))
            // It has another way to show who sends it.
            .route("/admin/webhooks/mlflow", post(webhook::receive).fallback(wrong_method).with_state(webhook))
    }
}

async fn wrong_method() -> Response {
    ([(http::header::ALLOW, "POST")], ApiError::new(Kind::MethodNotAllowed, "this path takes POST")).into_response()
}

async fn unknown() -> ApiError {
    ApiError::new(Kind::NotFound, "no such path below /admin")
}
