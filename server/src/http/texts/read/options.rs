//! Fields that several requests have.

use perch_models::text::{Direction, TextOptions};

use super::Result;
use super::value::Value;

/// Takes `truncate`, `truncation_direction` and `prompt_name`; leaves every other field out.
pub fn take(options: &mut TextOptions, name: &str, value: Value<'_, '_>) -> Result<()> {
    match name {
        "truncate" => options.truncate = value.flag(false)?,
        "truncation_direction" => options.direction = direction(value)?,
        "prompt_name" => options.prompt = value.optional_string()?,
        _ => value.skip()?,
    }
    Ok(())
}

/// TEI writes `Left` and `Right`, its documentation and clients also `left` and `right`.
fn direction(value: Value<'_, '_>) -> Result<Option<Direction>> {
    value.word("\"left\" or \"right\"", |word| match word {
        "left" | "Left" => Some(Direction::Left),
        "right" | "Right" => Some(Direction::Right),
        _ => None,
    })
}
