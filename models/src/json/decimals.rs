//! The floats of embeddings as text.
//!
//! How many digits the shortest text of a float has is a matter of chance, and a processor that guesses wrong waits: 19 ns
//! a float. Embeddings have hundreds of them, nearly all with a magnitude below 1. Those get ten decimals: 7 ns. It is as
//! many as it takes to read the same float again, and 1.3 bytes more than the shortest text, on average.

use super::write::shortest;

/// Ten decimals tell floats from here on apart: they lie 2⁻³³ from each other, and half of that is more than what
/// rounding moves, 0.5e-10.
const LEAST: f32 = 1.0 / 1024.0;
const SCALE: f64 = 1e10;
/// Room for any float and a comma: zmij takes 24 bytes for the longest float of 64 bits.
const WIDTH: usize = 25;
/// Floats at a time.
const CHUNK: usize = 64;

/// Appends `values`, separated by commas.
pub fn write_separated(out: &mut Vec<u8>, values: &[f32]) {
    let mut text = [0; CHUNK * WIDTH];
    for chunk in values.chunks(CHUNK) {
        let mut end = 0;
        for value in chunk {
            if let Some(place) = text[end..].first_chunk_mut() {
                end += write(*value, place);
            }
        }
        out.extend_from_slice(&text[..end]);
    }
    if !values.is_empty() {
        out.pop();
    }
}

/// Writes a float and a comma; how many bytes that are.
fn write(value: f32, text: &mut [u8; WIDTH]) -> usize {
    let magnitude = value.abs();
    if !(LEAST..1.0).contains(&magnitude) {
        let mut buffer = zmij::Buffer::new();
        let other = shortest(value, &mut buffer).as_bytes();
        text[..other.len()].copy_from_slice(other);
        text[other.len()] = b',';
        return other.len() + 1;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 1e10")]
    let decimals = (f64::from(magnitude) * SCALE + 0.5) as u64;
    let (first, rest) = (decimals / 100_000_000, decimals % 100_000_000);
    text[0] = b'-';
    // No branch: the sign is as good as random.
    let sign = usize::from(value.is_sign_negative());
    text[sign..sign + 2].copy_from_slice(b"0.");
    text[sign + 2..sign + 4].copy_from_slice(&two_digits(first));
    text[sign + 4..sign + 12].copy_from_slice(&eight_digits(rest));
    text[sign + 12] = b',';
    sign + 13
}

fn two_digits(number: u64) -> [u8; 2] {
    [number / 10, number % 10].map(|digit| b'0' + digit.to_le_bytes()[0])
}

/// Halves of four digits, then quarters of two, then the digits, in lanes that are divided together: by 100 for what is
/// below 10⁴, and by 10 for what is below 100, as products and shifts.
const fn eight_digits(number: u64) -> [u8; 8] {
    let halves = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let quarters = hundreds | ((halves - 100 * hundreds) << 16);
    let tens = ((quarters * 103) >> 10) & 0x000f_000f_000f_000f;
    let digits = tens | ((quarters - 10 * tens) << 8);
    (digits | 0x3030_3030_3030_3030).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(values: &[f32]) -> String {
        let mut out = Vec::new();
        write_separated(&mut out, values);
        String::from_utf8(out).expect("ASCII")
    }

    fn assert_reads_back(value: f32) {
        let written = text(&[value]);
        let read: f32 = written.parse().expect("a number");
        assert_eq!(read.to_bits(), value.to_bits(), "{value:e} as {written}");
        // Python and JavaScript read an f64, and round it where they keep an f32.
        let wide: f64 = written.parse().expect("a number");
        #[expect(clippy::cast_possible_truncation, reason = "what such a client does")]
        let narrow = wide as f32;
        assert_eq!(narrow.to_bits(), value.to_bits(), "{value:e} as {written}");
    }

    #[test]
    fn magnitudes_below_one_have_ten_decimals() {
        assert_eq!(text(&[0.5, -0.25, 0.051_234_57]), "0.5000000000,-0.2500000000,0.0512345694");
        assert_eq!(text(&[0.999_999_94, -LEAST]), "0.9999999404,-0.0009765625");
        assert_eq!(text(&[]), "");
    }

    #[test]
    fn others_are_the_shortest_text() {
        assert_eq!(text(&[0.0, -0.0, 1.0, -2.5e-7, 0.0009]), "0.0,-0.0,1.0,-2.5e-7,0.0009");
        assert_eq!(text(&[f32::MIN, -1.175_494_4e-38]), "-3.4028235e+38,-1.1754944e-38");
        assert_eq!(text(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]), "NaN,Infinity,-Infinity");
    }

    #[test]
    fn more_than_a_chunk_of_them_are_separated() {
        for count in [CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            assert_eq!(text(&vec![-0.5; count]), vec!["-0.5000000000"; count].join(","));
        }
    }

    #[test]
    fn digits_are_those_of_the_number() {
        for number in (0..100_000_000).step_by(9_973).chain(0..10_000).chain([99_999_999]) {
            assert_eq!(eight_digits(number), *format!("{number:08}").as_bytes(), "{number}");
        }
    }

    #[test]
    fn neighbours_are_told_apart_at_the_ends_of_each_binade() {
        for exponent in -11..=1 {
            let power = 2_f32.powi(exponent).to_bits();
            (power - 1_000..power + 1_000).map(f32::from_bits).for_each(assert_reads_back);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_float_reads_back_as_itself(magnitude in 0.0..1.0_f32, negative: bool) {
            assert_reads_back(if negative { -magnitude } else { magnitude });
        }
    }
}
