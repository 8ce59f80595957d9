//! The screen of `ferroce demo`: two NICs, their queues, and every packet between them.
//!
//! [`App`] is the demo and what the user wants of it; it makes a [`Model`] of what there is to see. Panels are
//! functions of the model: the same model gives the same cells, whatever the terminal. [`play`] connects all of
//! this to a terminal and a clock.

mod app;
mod counters;
mod help;
pub(crate) mod keys;
mod ladder;
mod look;
mod model;
pub(crate) mod play;
mod queues;
mod rung;
pub mod screen;
mod status;
mod story;
mod terminal;

pub use app::App;
pub use keys::{Action, KEYS, Key, action};
pub use look::{Glyphs, Look};
pub use model::{Model, WireCounts};
pub use play::{Played, play};
pub use rung::{Kind, Rung, State};
pub use terminal::on_terminal;
