//! The keys a row may have, as serde knows them: a list of our own would have to be kept in step, and
//! collecting the unknown ones by `flatten` makes the row's reader twice as large.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

/// The names of the fields of a struct.
pub fn of<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    match T::deserialize(Ask) {
        Err(Fields(fields)) => fields,
        Ok(_) => &[],
    }
}

/// A deserializer that answers every question with the names it was asked for.
struct Ask;

#[derive(Debug)]
struct Fields(&'static [&'static str]);

impl<'de> Deserializer<'de> for Ask {
    type Error = Fields;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Fields> {
        Err(Fields(fields))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fields> {
        Err(Fields(&[]))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl de::Error for Fields {
    fn custom<T: fmt::Display>(_: T) -> Fields {
        Fields(&[])
    }
}

impl de::StdError for Fields {}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("only the names of the fields were asked for")
    }
}

#[cfg(test)]
mod tests {
    use crate::provider::Provider;

    #[test]
    fn the_fields_of_a_row_are_known() {
        let keys = super::of::<Provider>();
        assert!(keys.contains(&"token_url") && keys.contains(&"client_secret"));
        assert!(!keys.contains(&"origin"));
    }
}
