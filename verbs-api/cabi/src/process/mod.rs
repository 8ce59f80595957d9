//! What there is once in a process: the devices, and the NICs behind them.

mod device;
mod engine;
mod own;
mod settings;

pub(crate) use device::{Device, device, devices};
pub(crate) use engine::{AsyncQueue, Engine, Id, Subject};
pub(crate) use own::Own;

use std::fmt::Display;

/// Tells the user why something does not work that C programs can only learn a number about.
pub(crate) fn explain(what: impl Display) {
    eprintln!("ferroce: {what}");
}
