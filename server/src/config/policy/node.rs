//! A tree as a source of serde's: types read themselves from it, and errors say where.

use super::path::{Part, Path};
use crate::config::{
    error::quote,
    suggest,
    tree::{Kind, Node, Scalar, Value},
};
use serde::{
    de::{
        self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
        VariantAccess, Visitor, value::StrDeserializer,
    },
    forward_to_deserialize_any,
};
use std::fmt;

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct Wrong {
    pub at: Path,
    /// What has to be taken out to read on, where that is not the same.
    pub cut: Option<Path>,
    pub message: String,
    /// It was said already.
    pub quiet: bool,
    /// Without it everything else means the same.
    pub harmless: bool,
    /// Whether `at` is known yet.
    placed: bool,
    /// The key that is missing, until it is placed.
    missing: Option<&'static str>,
}

impl Wrong {
    fn new(message: String) -> Self {
        let at = Path::default();
        Self { at, cut: None, message, quiet: false, harmless: false, placed: false, missing: None }
    }

    /// The innermost place counts.
    fn at(mut self, path: &Path) -> Self {
        if !self.placed {
            self.placed = true;
            self.at = path.clone();
            if let Some(key) = self.missing {
                self.cut = Some(path.clone());
                self.at = path.key(key);
            }
        }
        self
    }

    fn cut(mut self, path: &Path) -> Self {
        self.cut = Some(path.clone());
        self
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let got = match got {
            Unexpected::Bool(on) => on.to_string(),
            Unexpected::Unsigned(number) => number.to_string(),
            Unexpected::Signed(number) => number.to_string(),
            Unexpected::Float(number) => number.to_string(),
            Unexpected::Str(text) => quote(text),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Map => "a mapping".to_owned(),
            _ => "nothing".to_owned(),
        };
        Self::new(format!("expected {expected}, got {got}"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("expected {}, got {}", choice(expected), quote(variant)))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self { harmless: true, ..Self::new(suggest::unknown(field, expected)) }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::new("expected a value, got nothing".to_owned()) }
    }
}

/// `a, b or c`
fn choice(words: &[&str]) -> String {
    match words {
        [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        words => words.concat(),
    }
}

/// One node, to be read.
pub(super) struct Reader<'n> {
    node: &'n Node,
    path: Path,
}

impl<'n> Reader<'n> {
    pub fn new(node: &'n Node) -> Self {
        Self { node, path: Path::default() }
    }

    /// Whether this is an address of a webhook, or the way to one: a message does not repeat it.
    fn is_secret(&self) -> bool {
        let url = |part: &Part| matches!(part, Part::Key(key) if key.starts_with("url"));
        matches!(self.path.0.first(), Some(Part::Key(key)) if key == "notifications") && self.path.0.iter().any(url)
    }

    fn expected(&self, what: &str) -> Wrong {
        let message = match &self.node.value {
            Value::Scalar(_) if self.is_secret() => format!("expected {what}"),
            value => format!("expected {what}, got {}", value.shown()),
        };
        let quiet = self.node.value == Value::Broken;
        Wrong { quiet, ..Wrong::new(message) }.at(&self.path)
    }

    /// The scalar, where it is of one of these kinds. A text without a type is any of them.
    fn scalar(&self, kinds: &[Kind]) -> Option<&'n Scalar> {
        match &self.node.value {
            Value::Scalar(scalar) if scalar.kind == Kind::Loose || kinds.contains(&scalar.kind) => Some(scalar),
            _ => None,
        }
    }

    fn whole(&self, most: u64) -> Result<u64, Wrong> {
        let number = self.scalar(&[Kind::Number]).and_then(|scalar| scalar.text.parse().ok());
        match number {
            Some(number) if number > most => Err(self.expected(&format!("at most {most}"))),
            Some(number) => Ok(number),
            None => Err(self.expected("a whole number")),
        }
    }

    fn finite(&self) -> Option<f64> {
        let number = self.scalar(&[Kind::Number])?.text.parse::<f64>().ok()?;
        number.is_finite().then_some(number)
    }
}

impl<'de, 'n: 'de> Deserializer<'de> for Reader<'n> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let read = match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Broken => return Err(self.expected("a value")),
            Value::List(_) => return self.deserialize_seq(visitor),
            Value::Map(_) => return self.deserialize_map(visitor),
            Value::Scalar(scalar) => match (scalar.kind, scalar.text.as_str()) {
                (Kind::Bool | Kind::Loose, text @ ("true" | "false")) => visitor.visit_bool(text == "true"),
                (Kind::Number | Kind::Loose, text) => match (text.parse(), text.parse(), self.finite()) {
                    (Ok(number), _, _) => visitor.visit_u64(number),
                    (_, Ok(number), _) => visitor.visit_i64(number),
                    (_, _, Some(number)) => visitor.visit_f64(number),
                    _ => visitor.visit_str(text),
                },
                (Kind::Text | Kind::Bool, text) => visitor.visit_str(text),
            },
        };
        read.map_err(|wrong: Wrong| wrong.at(&self.path))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let scalar = self.scalar(&[Kind::Bool]).filter(|scalar| matches!(scalar.text.as_str(), "true" | "false"));
        let on = scalar.ok_or_else(|| self.expected("true or false"))?.text == "true";
        visitor.visit_bool(on).map_err(|wrong: Wrong| wrong.at(&self.path))
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let number = self.whole(u64::from(u32::MAX))?;
        visitor.visit_u64(number).map_err(|wrong: Wrong| wrong.at(&self.path))
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let number = self.whole(u64::MAX)?;
        visitor.visit_u64(number).map_err(|wrong: Wrong| wrong.at(&self.path))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let number = self.finite().ok_or_else(|| self.expected("a number"))?;
        visitor.visit_f64(number).map_err(|wrong: Wrong| wrong.at(&self.path))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let Some(scalar) = self.scalar(&[Kind::Text]) else {
            let expected: &dyn Expected = &visitor;
            let expected = expected.to_string();
            return Err(self.expected(if expected == "a string" { "a text" } else { &expected }));
        };
        visitor.visit_str(&scalar.text).map_err(|wrong: Wrong| wrong.at(&self.path))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let Value::List(items) = &self.node.value else { return Err(self.expected("a list such as [a, b]")) };
        let items = Items { left: items.iter().enumerate(), path: &self.path };
        visitor.visit_seq(items).map_err(|wrong: Wrong| wrong.at(&self.path))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let entries = match &self.node.value {
            Value::Map(entries) => entries.as_slice(),
            // `pause:` with nothing behind it.
            Value::Null => &[],
            _ => return Err(self.expected("keys and values")),
        };
        let entries = Entries { left: entries.iter(), value: None, path: &self.path };
        visitor.visit_map(entries).map_err(|wrong: Wrong| wrong.at(&self.path))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let (name, value, path) = match &self.node.value {
            Value::Scalar(scalar)
                if matches!(scalar.kind, Kind::Text | Kind::Loose) && variants.contains(&scalar.text.as_str()) =>
            {
                (&scalar.text, None, self.path.clone())
            }
            Value::Map(entries) => match entries.as_slice() {
                [(name, node)] => (name, Some(node), self.path.key(name)),
                [] => return Err(self.expected(&choice(variants))),
                _ => {
                    let message = format!("expected one of {}, got several", variants.join(", "));
                    return Err(Wrong::new(message).at(&self.path));
                }
            },
            _ => return Err(self.expected(&choice(variants))),
        };
        let variant = Variant { name, value, path: &path, whole: &self.path };
        visitor.visit_enum(variant).map_err(|wrong: Wrong| wrong.at(&self.path))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// The items of a list, but for those that are broken.
struct Items<'a, I> {
    left: I,
    path: &'a Path,
}

impl<'de, 'n: 'de, I: Iterator<Item = (usize, &'n Node)>> SeqAccess<'de> for Items<'_, I> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        let next = self.left.find(|(_, node)| node.value != Value::Broken);
        let Some((index, node)) = next else { return Ok(None) };
        let path = self.path.item(index);
        let read = seed.deserialize(Reader { node, path: path.clone() });
        read.map(Some).map_err(|wrong| wrong.at(&path))
    }
}

/// The entries of a mapping, but for those that are empty, which is the same as not written, or broken.
struct Entries<'a, 'n, I> {
    left: I,
    value: Option<(&'n str, &'n Node)>,
    path: &'a Path,
}

impl<'de, 'n: 'de, I: Iterator<Item = &'n (String, Node)>> MapAccess<'de> for Entries<'_, 'n, I> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        let next = self.left.find(|(_, node)| !matches!(node.value, Value::Null | Value::Broken));
        let Some((key, node)) = next else { return Ok(None) };
        self.value = Some((key, node));
        let name: StrDeserializer<'_, Wrong> = key.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|wrong| wrong.at(&self.path.key(key)))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (key, node) = self.value.take().ok_or_else(|| Wrong::new("expected a key".to_owned()))?;
        let path = self.path.key(key);
        seed.deserialize(Reader { node, path: path.clone() }).map_err(|wrong| wrong.at(&path))
    }
}

/// `name`, or `{name: value}`.
struct Variant<'a, 'n> {
    name: &'n str,
    value: Option<&'n Node>,
    path: &'a Path,
    /// The place of it all: without its value there is nothing left.
    whole: &'a Path,
}

impl<'de, 'n: 'de> EnumAccess<'de> for Variant<'_, 'n> {
    type Error = Wrong;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Wrong> {
        let name: StrDeserializer<'_, Wrong> = self.name.into_deserializer();
        let variant = seed.deserialize(name).map_err(|wrong| wrong.at(self.path).cut(self.whole))?;
        Ok((variant, self))
    }
}

impl<'de, 'n: 'de> VariantAccess<'de> for Variant<'_, 'n> {
    type Error = Wrong;

    fn unit_variant(self) -> Result<(), Wrong> {
        match self.value {
            None => Ok(()),
            Some(_) => Err(Wrong::new(format!("expected {} alone, got a mapping", self.name)).at(self.whole)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Wrong> {
        let Some(node) = self.value else {
            let message = format!("expected {{{0}: …}}, got {0} alone", self.name);
            return Err(Wrong::new(message).at(self.whole));
        };
        if node.value == Value::Broken {
            return Err(Wrong { quiet: true, ..Wrong::new(String::new()) }.at(self.path).cut(self.whole));
        }
        seed.deserialize(Reader { node, path: self.path.clone() }).map_err(|wrong| wrong.at(self.path))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Wrong> {
        Err(Wrong::new("expected a value".to_owned()).at(self.whole))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Wrong> {
        Err(Wrong::new("expected a value".to_owned()).at(self.whole))
    }
}
