//! The figures of one output.

use crate::agreement::{Figures, Lengths, Limits, compare};
use crate::tensor::{Column, Data, Element, Tensor};

fn column<T: Element>(shape: &[usize], values: &[T]) -> Column {
    Column::Tensor(Tensor::new(shape.into(), T::wrap(values.to_vec())).expect("a shape that fits"))
}

fn figures(got: &Column, expected: &Column) -> Figures {
    compare(got, expected, None).expect("of one form")
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn rows_of_floats_are_vectors_and_the_worst_counts() {
    let expected = column(&[2, 2], &[3.0_f32, 4.0, 0.0, 1.0]);
    assert_eq!(figures(&expected, &expected), Figures::SAME);
    let turned = figures(&column(&[2, 2], &[3.0_f32, 4.0, 1.0, 0.0]), &expected);
    assert!(near(turned.cosine, 0.0) && near(turned.relative, 0.0), "{turned:?}");
    // Of the same direction, but longer: the cosine does not see it.
    let longer = figures(&column(&[2, 2], &[6.0_f32, 8.0, 0.0, 1.0]), &expected);
    assert!(near(longer.cosine, 1.0) && near(longer.relative, 1.0), "{longer:?}");
    assert!(Limits { cosine: 1.0, relative: 0.0 }.allow(figures(&expected, &expected)));
    assert!(!Limits::default().allow(turned) && !Limits::default().allow(longer));
    let nothing = figures(&column(&[2, 2], &[3.0_f32, 4.0, 0.0, 0.0]), &expected);
    assert!(near(nothing.cosine, 0.0), "{nothing:?}");
    let zeros = column(&[1, 2], &[0.0_f64, 0.0]);
    assert_eq!(figures(&column(&[1, 2], &[1e-9_f64, 0.0]), &zeros), Figures::SAME, "noise around nothing");
}

#[test]
fn single_numbers_are_compared_with_the_largest() {
    let expected = column(&[3, 1], &[100.0_f32, 0.0, -200.0]);
    let figures = figures(&column(&[3, 1], &[101.0_f32, 1.0, -200.0]), &expected);
    assert!(near(figures.cosine, 1.0) && near(figures.relative, 0.005), "{figures:?}");
}

#[test]
fn labels_are_the_same_or_not() {
    let labels = column(&[4], &[30_000_i64, 2, 3, 4]);
    assert_eq!(figures(&labels, &labels), Figures::SAME);
    let one_off = figures(&column(&[4], &[30_001_i64, 2, 3, 4]), &labels);
    assert!(near(one_off.relative, 0.25), "{one_off:?}");
    let texts = |last: &str| column(&[2], &["a".to_owned(), last.to_owned()]);
    assert!(near(figures(&texts("c"), &texts("b")).relative, 0.5));
    assert!(near(figures(&column(&[2], &[true, false]), &column(&[2], &[true, true])).relative, 0.5));
}

#[test]
fn maps_are_numbers_under_labels() {
    let maps = |rows: &[(&str, f32)]| {
        Column::Maps(rows.iter().map(|(label, value)| vec![((*label).to_owned(), *value)]).collect())
    };
    let expected = maps(&[("a", 0.5), ("b", 0.8)]);
    assert_eq!(figures(&expected, &expected), Figures::SAME);
    let off = figures(&maps(&[("a", 0.5), ("b", 0.4)]), &expected);
    assert!((off.relative - 0.5).abs() < 1e-6, "{off:?}");
    let other = compare(&maps(&[("a", 0.5), ("c", 0.8)]), &expected, None);
    assert_eq!(other, Err("has other labels".to_owned()));
}

#[test]
fn nan_has_to_be_in_the_same_places() {
    let nan = f32::NAN;
    for shape in [&[1, 2][..], &[2, 1]] {
        let expected = column(shape, &[nan, 2.0]);
        assert_eq!(figures(&expected, &expected), Figures::SAME);
        let broken = figures(&column(shape, &[1.0_f32, 2.0]), &expected);
        assert!(broken.cosine.is_nan() && broken.relative.is_nan(), "{broken:?}");
        assert!(!Limits { cosine: -1.0, relative: f64::MAX }.allow(broken), "NaN is never near");
        let infinite = column(shape, &[f32::INFINITY, 2.0]);
        assert_eq!(figures(&infinite, &infinite), Figures::SAME);
        assert!(figures(&column(shape, &[f32::NEG_INFINITY, 2.0]), &infinite).cosine.is_nan());
    }
    assert!(
        Figures::BROKEN.worse(Figures::SAME).cosine.is_nan() && Figures::SAME.worse(Figures::BROKEN).cosine.is_nan()
    );
}

#[test]
fn padding_is_left_out() {
    // Two rows of three tokens with two numbers each, of which the first has one token and the second two.
    let expected = column(&[2, 3, 2], &[1.0_f32, 2.0, 9.0, 9.0, 9.0, 9.0, 1.0, 1.0, 2.0, 2.0, 9.0, 9.0]);
    let got = column(&[2, 3, 2], &[1.0_f32, 2.0, 0.0, f32::NAN, 0.0, 0.0, 1.0, 1.0, 2.0, 2.0, -9.0, 0.0]);
    let lengths = Lengths { rows: &[1, 2], padded: 3 };
    let found = compare(&got, &expected, Some(lengths)).expect("of one form");
    assert!(near(found.cosine, 1.0) && near(found.relative, 0.0), "{found:?}");
    assert!(figures(&got, &expected).cosine.is_nan());
    // An output without tokens is compared as a whole.
    let pooled = column(&[2, 2], &[1.0_f32, 0.0, 1.0, 0.0]);
    let turned = compare(&column(&[2, 2], &[1.0_f32, 0.0, 0.0, 1.0]), &pooled, Some(lengths)).expect("of one form");
    assert!(near(turned.cosine, 0.0), "{turned:?}");
}

#[test]
fn other_forms_are_named() {
    let floats = column(&[1, 2], &[1.0_f32, 2.0]);
    let wrong = |got: &Column| compare(got, &floats, None).expect_err("another form");
    assert_eq!(wrong(&column(&[2, 1], &[1.0_f32, 2.0])), "has shape [2, 1], expected [1, 2]");
    assert_eq!(wrong(&column(&[1, 2], &[1.0_f64, 2.0])), "is float64, expected float32");
    assert_eq!(wrong(&Column::Maps(Vec::new())), "is a tensor on one side and maps on the other");
    let none = Column::Tensor(Tensor::new([0, 2][..].into(), Data::F32(Vec::new())).expect("empty"));
    assert_eq!(figures(&none, &none), Figures::SAME);
}
