//! The store in a PostgreSQL that takes encrypted connections only.

use std::path::Path;

use perch_store::postgres::Place;
use perch_store::{ErrorKind, PostgresStore};

use crate::cluster::{Cluster, of};
use crate::suite;

async fn refused(place: &Place) -> String {
    let error = PostgresStore::open(place).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    error.message
}

fn checked(cluster: &Cluster, mode: &str, ca: &Path, more: &str) -> Place {
    of(cluster, &format!("?sslmode={mode}&sslrootcert={}{more}", ca.display()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_certificate_that_is_right_lets_the_store_do_all_it_does() {
    let cluster = Cluster::with_tls();
    let place = checked(&cluster, "verify-full", cluster.ca(), "");
    suite::run(&PostgresStore::open(&place).await.unwrap()).await;
    // Not asked for, encryption is what is tried first.
    for more in ["?sslmode=require", "?sslmode=prefer", ""] {
        PostgresStore::open(&of(&cluster, more)).await.unwrap().close().await;
    }
}

#[tokio::test]
async fn without_encryption_it_is_said_what_to_write() {
    let cluster = Cluster::with_tls();
    for mode in ["disable", "allow"] {
        let error = refused(&of(&cluster, &format!("?sslmode={mode}"))).await;
        assert!(error.contains("refused without encryption; write sslmode=verify-full into the address"), "{error}");
        assert!(error.ends_with("database \"perch\", no encryption)"), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_by_somebody_else_is_refused() {
    let (cluster, other) = (Cluster::with_tls(), Cluster::with_tls());
    for place in [
        checked(&cluster, "verify-full", other.ca(), ""),
        checked(&cluster, "verify-ca", other.ca(), ""),
        // As in libpq: who names an authority wants it checked.
        checked(&cluster, "require", other.ca(), ""),
        // By none of those that browsers trust.
        of(&cluster, "?sslmode=verify-full"),
        checked(&cluster, "verify-full", Path::new("/dev/null"), ""),
    ] {
        let error = refused(&place).await;
        assert!(error.contains("its certificate is by an authority that is not trusted here"), "{error}");
        assert!(error.contains("write sslrootcert=FILE"), "{error}");
    }
    PostgresStore::open(&checked(&cluster, "require", cluster.ca(), "")).await.unwrap().close().await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_by_verify_full_only() {
    let cluster = Cluster::with_tls();
    let error = refused(&checked(&cluster, "verify-full", cluster.ca(), "&host=127.0.0.2")).await;
    assert!(error.contains("its certificate is refused: certificate not valid for name \"127.0.0.2\""), "{error}");
    let place = checked(&cluster, "verify-ca", cluster.ca(), "&host=127.0.0.2");
    PostgresStore::open(&place).await.unwrap().close().await;
    let place = checked(&cluster, "verify-full", cluster.ca(), "&host=localhost");
    PostgresStore::open(&place).await.unwrap().close().await;
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let cluster = Cluster::with_tls();
    let error = refused(&checked(&cluster, "verify-full", Path::new("/nowhere/ca.crt"), "")).await;
    assert!(error.contains(": sslrootcert names /nowhere/ca.crt, which cannot be read: No such file"), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_encryption_is_required() {
    let error = refused(&of(Cluster::shared(), "?sslmode=require")).await;
    assert!(error.ends_with("server does not support TLS"), "{error}");
}
