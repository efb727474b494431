//! Good words, bad words, and what is said about them.

use super::*;
use proptest::prelude::*;

fn message<T: Setting>(text: &str) -> String {
    T::parse(&Scalar::text(text)).err().unwrap_or_default()
}

#[test]
fn kinds() {
    for kind in [Kind::Directory, Kind::Mlflow] {
        assert_eq!(Kind::parse(&kind.show()), Ok(kind));
    }
    assert_eq!(message::<Kind>("MLflow"), "expected mlflow or directory, got \"MLflow\"");
}

#[test]
fn servers_are_spoken_to_over_http() {
    let parse = |text: &str| MlflowUri::parse(&Scalar::text(text));
    for (text, uri, user) in [
        ("http://mlflow:5000", "http://mlflow:5000", None),
        ("https://host/a/b/", "https://host/a/b/", None),
        ("http://[::1]:5000", "http://[::1]:5000", None),
        ("http://me:se%40cret@host:1/x", "http://host:1/x", Some(("me", "se@cret"))),
        ("http://a@b:c@host", "http://host", Some(("a@b", "c"))),
        ("http://me@host", "http://host", Some(("me", ""))),
    ] {
        let user = user.map(|(name, password): (&str, &str)| (name.to_owned(), password.to_owned()));
        assert_eq!(parse(text), Ok(MlflowUri { uri: uri.to_owned(), user }), "{text}");
    }
    assert_eq!(parse("http://me:pw@h/x").map(|uri| uri.show().text), Ok("http://***@h/x".to_owned()));
    for text in [
        "sqlite:///mlflow.db",
        "databricks",
        "./mlruns",
        "file:///mlruns",
        "http://",
        "http:///x",
        "http://:5000",
        "http://u:p@",
        "http://u:p/w@host",
        "http://u:%zz@host",
        "http://a b",
        "http://host/#/experiments",
        "HTTP//host",
        "",
    ] {
        let message = message::<MlflowUri>(text);
        assert!(message.starts_with("expected the URL of an MLflow server such as http://mlflow:5000, got"), "{text}");
        assert!(message.ends_with("(perch talks to an MLflow server over HTTP)"), "{message}");
    }
    assert!(!message::<MlflowUri>("http://u:p/w@host").contains("p/w"));
}

#[test]
fn switches_as_mlflow_has_them() {
    let parse = |scalar: Scalar| Switch::parse(&scalar).map(|switch| switch.0);
    for (text, value) in [("true", true), ("True", true), ("1", true), ("FALSE", false), ("0", false)] {
        assert_eq!(parse(Scalar::loose(text)), Ok(value));
    }
    assert_eq!(parse(Scalar::new("true", Type::Bool)), Ok(true));
    for scalar in [Scalar::number(1), Scalar::loose("yes"), Scalar::text("true")] {
        assert!(parse(scalar).is_err());
    }
}

#[test]
fn stages_and_variables() {
    for stage in ["Production", "pre-prod 2", "_"] {
        assert!(Stage::parse(&Scalar::text(stage)).is_ok(), "{stage}");
    }
    for stage in ["", " ", "a/b", "ä", "a.b"] {
        assert!(Stage::parse(&Scalar::text(stage)).is_err(), "{stage}");
    }
    assert!(Variable::parse(&Scalar::text("PERCH_TOKEN")).is_ok());
    for secret in ["hunter-2", "", "1A"] {
        assert_eq!(message::<Variable>(secret), "expected the name of an environment variable");
    }
}

#[test]
fn tags() {
    let parse = |text: &str| TagFilter::parse(&Scalar::text(text));
    for (text, key, value) in [
        ("perch.serve=true", "perch.serve", Some("true")),
        ("perch.serve", "perch.serve", None),
        ("a/b c:d=x=y ä", "a/b c:d", Some("x=y ä")),
    ] {
        let filter = TagFilter { key: key.to_owned(), value: value.map(ToOwned::to_owned) };
        assert_eq!(parse(text).as_ref(), Ok(&filter));
        assert_eq!(filter.show().text, text);
    }
    assert_eq!(parse(&TagFilter::serve().show().text), Ok(TagFilter::serve()));
    for text in
        ["", "=", "=true", "a=", "a= ", " a=b", "a =b", "a=b ", "a`=b", "a\"", "a='b'", "a=\"b", "a\n=b", "a=b\n"]
    {
        let message = message::<TagFilter>(text);
        assert!(message.starts_with("expected a tag as KEY=VALUE, or KEY for any value, got"), "{text:?}: {message}");
    }
    assert!(TagFilter::parse(&Scalar::number(1)).is_err());
}

#[test]
fn sources() {
    let parse = |text: &str| ModelSource::parse(&Scalar::text(text));
    for name in ["curve", "Curve v2 (prod)", "main.curves.v2", "..a"] {
        assert_eq!(parse(name), Ok(ModelSource::Named(name.to_owned())));
    }
    for (uri, path) in
        [("file:///models/minilm", "/models/minilm"), ("file:///a b/%40%25", "/a b/@%"), ("file:///../x/", "/../x/")]
    {
        assert_eq!(parse(uri), Ok(ModelSource::Folder(path.into())));
    }
    for text in
        ["s3://bucket/minilm", "runs:/1/model", "models:/x/1", "/models/x", "a/b", "a\\b", "..", ".", " x", "a\nb"]
    {
        let message = message::<ModelSource>(text);
        let expected = "expected the model's name in the registry, or a folder as file:///FOLDER, got";
        assert!(message.starts_with(expected), "{text:?}: {message}");
    }
    for text in
        ["file://", "file:///", "file://host/x", "file://x", "file:///%", "file:///%ff", "file:///%00", "file:///%+1"]
    {
        let message = message::<ModelSource>(text);
        assert!(message.starts_with("expected a folder as file:///FOLDER, got"), "{text}: {message}");
    }
}

proptest! {
    #[test]
    fn shown_and_read_again(folder in "/[^\0]{1,12}", name in "[a-z0-9 (._-]{0,8}", tag in "[a-z.=' ]{0,8}") {
        let folder = ModelSource::Folder(folder.into());
        prop_assert_eq!(ModelSource::parse(&folder.show()), Ok(folder));
        if let Ok(named) = ModelSource::parse(&Scalar::text(name)) {
            prop_assert_eq!(ModelSource::parse(&named.show()), Ok(named));
        }
        if let Ok(filter) = TagFilter::parse(&Scalar::text(tag)) {
            prop_assert_eq!(TagFilter::parse(&filter.show()), Ok(filter));
        }
    }

    #[test]
    fn any_text_is_an_answer(text in any::<String>()) {
        let scalar = Scalar::loose(text);
        let _ = MlflowUri::parse(&scalar);
        let _ = ModelSource::parse(&scalar);
        let _ = TagFilter::parse(&scalar);
        let _ = Stage::parse(&scalar);
    }
}
