//! ONNX Runtime's own telemetry, which perch turns off.
//!
//! Official Linux builds from 1.29 on send usage data to Microsoft by default, the names and hashes of graphs among it,
//! and keep a device id in the user's cache folder. `DisableTelemetryEvents` comes too late for that: it needs an
//! environment, and making one has sent the first event and written the id (seen on 1.31.1).

const SWITCH: &str = "ORT_DISABLE_TELEMETRY";

/// Turns it off for this process. Call it first thing in `main`, before there are other threads.
pub fn disable_telemetry() {
    #[expect(unsafe_code, reason = "no other thread reads the environment yet, as the caller is told")]
    unsafe {
        std::env::set_var(SWITCH, "1");
    }
}
