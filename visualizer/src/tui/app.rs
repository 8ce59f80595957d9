//! The demo in slow motion and what its user wants of it.

use std::time::Duration;

use ferroce_engine::Time;

use super::keys::Action;
use super::look::Look;
use super::model::Model;
use crate::demo::stage::Stage;

/// Real milliseconds for a microsecond on the stage, from slow to fast.
const PACES: [u32; 11] = [1600, 800, 400, 200, 100, 50, 25, 12, 6, 3, 1];

/// Where it begins: a packet is under way for 0.8 s.
const USUAL_PACE: usize = 4;

/// Real time that one turn can make up for. A program that was stopped for an hour goes on where it was.
const LONGEST_TURN: Duration = Duration::from_millis(250);

/// Things that happen without being visible that one step goes past at most.
const STEP: usize = 64;

/// A stage and a model of it.
pub struct App {
    stage: Stage,
    model: Model,
    pace: usize,
    /// The user wants to end it.
    over: bool,
}

impl App {
    /// Begins, with time running.
    pub fn new(stage: Stage, look: Look) -> App {
        let model = Model::new(look, stage.addrs(), stage.snapshots());
        let mut app = App { stage, model, pace: USUAL_PACE, over: false };
        app.refresh();
        app
    }

    /// What there is to see.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Whether the user wants to end it.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Does what the user wants.
    pub fn act(&mut self, action: Action) {
        match action {
            Action::Quit => self.over = true,
            Action::Back if self.model.help => self.model.help = false,
            Action::Back => self.over = true,
            Action::Help => self.model.help = !self.model.help,
            Action::Pause => self.model.paused = !self.model.paused,
            Action::Step => self.step(),
            Action::Faster => self.pace = (self.pace + 1).min(PACES.len() - 1),
            Action::Slower => self.pace = self.pace.saturating_sub(1),
            Action::Wish(fate) => self.stage.wish(fate),
            Action::Chance => self.stage.set_chance(!self.stage.has_chance()),
        }
        self.refresh();
    }

    /// So much real time has passed.
    pub fn tick(&mut self, elapsed: Duration) {
        if self.model.paused || self.model.help || self.model.failure.is_some() {
            return;
        }
        let elapsed = elapsed.min(LONGEST_TURN);
        // A millisecond holds a million nanoseconds; on the stage, `pace` of them are a thousand.
        let nanos = elapsed.as_nanos() as u64 / 1000 / u64::from(PACES[self.pace]);
        self.advance(self.stage.now() + Duration::from_nanos(nanos));
        self.refresh();
    }

    fn step(&mut self) {
        self.model.paused = true;
        for _ in 0..STEP {
            let Some(next) = self.stage.next_event() else { return };
            self.advance(next);
            if self.take_news() > 0 || self.model.failure.is_some() {
                return;
            }
        }
    }

    fn advance(&mut self, to: Time) {
        if self.model.failure.is_some() {
            return;
        }
        if let Err(error) = self.stage.advance(to) {
            self.model.failure = Some(error.to_string());
        }
    }

    fn take_news(&mut self) -> usize {
        let news = self.stage.take_news();
        for (time, news) in &news {
            self.model.take(*time, news);
        }
        news.len()
    }

    fn refresh(&mut self) {
        self.take_news();
        let model = &mut self.model;
        model.now = self.stage.now();
        model.snapshots = self.stage.snapshots();
        model.pace = PACES[self.pace];
        model.chance = self.stage.has_chance();
        model.wish = self.stage.wished();
    }
}
