//! Agreement with scripted sessions: the device is off by what a test says.

mod compared;
mod fakes;
mod refused;
mod texts;
