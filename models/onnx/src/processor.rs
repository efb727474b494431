//! What the processor can compute with, and which GPU the system knows of, as Linux says it.

use std::path::Path;

use perch_models::backend::Precision;

/// Why this processor computes in fp32 though `precision` is asked for; none where it does as asked, or where nobody
/// knows. OpenVINO itself says nothing.
pub(crate) fn lacks(precision: Precision) -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    missing(&info, precision)
}

fn missing(cpuinfo: &str, precision: Precision) -> Option<String> {
    let wanted: &[&str] = match precision {
        Precision::Fp32 | Precision::Tf32 => return None,
        // With AVX-512 alone it is converted to, and computed in fp32.
        Precision::Bf16 => &["amx_bf16", "avx512_bf16", "avx512f"],
        Precision::Fp16 => &["amx_fp16", "avx512_fp16"],
    };
    // Other architectures name theirs otherwise.
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"))?;
    let has = |flag: &&str| flags.split_ascii_whitespace().any(|known| known == *flag);
    if wanted.iter().any(has) {
        return None;
    }
    Some(format!(
        "this CPU has none of {}: OpenVINO computes in fp32 where {precision} is asked for",
        wanted.join(", ")
    ))
}

/// Whether the system has the driver of an NVIDIA GPU.
pub(crate) fn has_nvidia_driver() -> bool {
    Path::new("/proc/driver/nvidia/version").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_processor_lacks_is_told() {
        let amx = "flags\t\t: fpu avx2 avx512f amx_bf16 amx_tile\n";
        let avx2 = "processor\t: 0\nflags\t\t: fpu avx avx2\n";
        assert_eq!(missing(amx, Precision::Bf16), None);
        assert_eq!(missing(avx2, Precision::Fp32), None);
        assert_eq!(missing("Features\t: fp asimd bf16\n", Precision::Bf16), None, "of Arm nothing is known");
        let told = missing(avx2, Precision::Bf16).unwrap_or_default();
        assert!(told.starts_with("this CPU has none of amx_bf16"), "{told}");
        assert!(missing(amx, Precision::Fp16).is_some());
    }
}
