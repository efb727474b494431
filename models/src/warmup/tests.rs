//! What becomes of a shape that does not run. Whole loads are in `version/tests.rs`.

use std::time::Duration;

use super::texts::give_up;
use crate::backend::{LoadError, RunError};
use crate::run::compose::Rules;
use crate::run::grid::Point;

#[test]
fn one_text_of_moderate_length_has_to_run_and_nothing_else() {
    let (buckets, max_age) = (Box::default(), Duration::ZERO);
    let ceilings = Vec::new();
    let mut rules =
        Rules { max_rows: 8, max_padded: None, may_pad: true, buckets, few_shapes: false, ceilings, max_age };
    let error = RunError::Failed("out of memory".into());
    let message = "on a text of 512 tokens: out of memory".to_owned();
    assert_eq!(give_up(Point { rows: 1, length: 512 }, &error, &mut rules), Err(LoadError::WarmUp(message)));
    assert!(rules.ceilings.is_empty());
    for (rows, length) in [(2, 8), (1, 8192)] {
        let shape = Point { rows, length };
        assert!(rules.may_try(Point { rows: 1, length }));
        assert_eq!(give_up(shape, &error, &mut rules), Ok(()));
        assert!(!rules.may_try(shape) && rules.rows_at(length) == 1);
    }
}
