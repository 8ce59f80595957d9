//! The player: a [`Film`](crate::film::Film) on a screen, forwards and backwards.
//!
//! [`App`] is where the user is and what the user wants; it makes a [`View`] of what there is to see. Panels are
//! functions of the view. [`show`] connects all of this to a terminal and a clock.

mod app;
mod keys;
mod panels;
pub mod screen;
mod show;
mod view;

pub use app::App;
pub use keys::{Action, KEYS, Step, action};
pub use show::show;
pub use view::{Panel, View};
