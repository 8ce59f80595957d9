//! Where the user is in a film, and what the user wants.

use std::sync::Arc;
use std::time::Duration;

use ferroce_engine::TraceEvent;
use ferroce_recording::What;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::keys::{Action, Step, action};
use super::view::{Panel, View};
use crate::film::{FaultKind, Film, Goal, Origin, Reel, Rung};
use crate::tui::Look;

/// Events in a second, from slow to fast.
const PACES: [u32; 9] = [1, 2, 5, 10, 20, 50, 200, 1_000, 10_000];
const USUAL_PACE: usize = 3;
/// Real time that one turn can make up for.
const LONGEST_TURN: Duration = Duration::from_millis(250);
/// Characters that can be typed.
const LONGEST_ENTRY: usize = 60;

/// A film, perhaps with a second branch, and a place in it.
#[derive(Debug)]
pub struct App {
    look: Look,
    /// The film, and what became of it when its past was changed.
    branches: Vec<Reel>,
    /// Which of them is shown.
    branch: usize,
    parting: usize,
    timeout: Option<Duration>,
    selected: Option<usize>,
    field: usize,
    looked_at: (usize, usize),
    /// Only the packets of the host that is looked at are shown.
    filtered: bool,
    panel: usize,
    running: bool,
    pace: usize,
    /// Nanoseconds for which no event was played yet.
    owed: u64,
    entry: Option<(char, String)>,
    search: Option<Goal>,
    message: String,
    overview: String,
    help: bool,
    over: bool,
}

impl App {
    /// At the beginning, with time standing still.
    pub fn new(film: Film, look: Look) -> App {
        let message = film.remarks.first().cloned().unwrap_or_default();
        let overview = overview(&film);
        App {
            look,
            timeout: film.origin.as_ref().and_then(Origin::timeout),
            branches: vec![Reel::new(Arc::new(film))],
            branch: 0,
            parting: 0,
            selected: None,
            field: 0,
            looked_at: (0, 0),
            filtered: false,
            panel: 0,
            running: false,
            pace: USUAL_PACE,
            owed: 0,
            entry: None,
            search: None,
            message,
            overview,
            help: false,
            over: false,
        }
    }

    /// Whether the user wants to end it.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Goes to a position.
    pub fn go(&mut self, position: usize) {
        self.reel_mut().go(position);
        self.selected = self.reel().scene().rungs.back().map(|rung| rung.frame);
        self.field = 0;
    }

    /// What there is to see.
    pub fn view(&self) -> View<'_> {
        let other = self.branches.get(1 - self.branch);
        View {
            look: &self.look,
            film: self.reel().film(),
            scene: self.reel().scene(),
            other: other.map(|reel| (&**reel.film(), reel.scene(), self.parting)),
            changed: self.branch == 1,
            selected: self.selected,
            field: self.field,
            looked_at: self.looked_at,
            filtered: self.filtered,
            panel: Panel::ALL[self.panel],
            timeout: self.timeout,
            running: self.running,
            pace: PACES[self.pace],
            help: self.help,
            entry: self.entry.as_ref().map(|(prompt, text)| (*prompt, text.as_str())),
            message: &self.message,
            overview: &self.overview,
        }
    }

    /// A key was pressed.
    pub fn press(&mut self, event: &KeyEvent) {
        if self.entry.is_some() && !event.modifiers.contains(KeyModifiers::CONTROL) {
            return self.enter(event);
        }
        if let KeyCode::Char(digit @ '1'..='9') = event.code
            && event.kind != KeyEventKind::Release
        {
            self.panel = digit as usize - '1' as usize;
        } else if let Some(action) = action(event) {
            self.act(action);
        }
    }

    /// So much real time has passed.
    pub fn tick(&mut self, elapsed: Duration) {
        if !self.running || self.help || self.entry.is_some() {
            return;
        }
        let each = 1_000_000_000 / u64::from(PACES[self.pace]);
        self.owed += elapsed.min(LONGEST_TURN).as_nanos() as u64;
        let events = (self.owed / each) as usize;
        self.owed %= each;
        if events > 0 {
            self.go(self.reel().position() + events);
            self.running = self.reel().position() < self.reel().film().frames.len();
        }
    }

    /// Does what the user wants.
    pub fn act(&mut self, action: Action) {
        self.message.clear();
        match action {
            Action::Quit => self.over = true,
            Action::Run => self.running = !self.running,
            Action::Go(step, back) => self.step(step, back),
            Action::Start => self.jump(0),
            Action::End => self.jump(usize::MAX),
            Action::Faster => self.pace = (self.pace + 1).min(PACES.len() - 1),
            Action::Slower => self.pace = self.pace.saturating_sub(1),
            Action::Later => self.select(1),
            Action::Earlier => self.select(-1),
            Action::NextPanel => self.panel = (self.panel + 1) % Panel::ALL.len(),
            Action::LastPanel => self.panel = (self.panel + Panel::ALL.len() - 1) % Panel::ALL.len(),
            Action::NextQp => self.next_qp(),
            Action::NextField => self.field = self.field.saturating_add(1),
            Action::LastField => self.field = self.field.saturating_sub(1),
            Action::Search => self.entry = Some(('/', String::new())),
            Action::Goto => self.entry = Some((':', String::new())),
            Action::Filter => self.filtered = !self.filtered,
            Action::Fork(kind) => self.fork(kind),
            Action::Branch => self.other_branch(),
            Action::Help => self.help = !self.help,
            Action::Back => (self.help, self.running) = (false, false),
        }
        self.field = self.field.min(super::panels::fields(&self.view()).saturating_sub(1));
    }

    fn reel(&self) -> &Reel {
        &self.branches[self.branch]
    }

    fn reel_mut(&mut self) -> &mut Reel {
        &mut self.branches[self.branch]
    }

    fn jump(&mut self, position: usize) {
        self.running = false;
        self.go(position);
    }

    fn step(&mut self, step: Step, back: bool) {
        let goal = match step {
            Step::Event => Goal::Event,
            Step::Packet => Goal::Packet,
            Step::Loss => Goal::Loss,
            Step::Retransmission => Goal::Retransmission,
            Step::Nak => Goal::Nak,
            Step::State => Goal::State,
            Step::Completion => Goal::Completion,
            Step::Failure => Goal::Failure,
            Step::Switch => Goal::Switch,
            Step::Found => match &self.search {
                Some(goal) => goal.clone(),
                None => return self.act(Action::Search),
            },
        };
        // A packet that a device says it sends leaves in the next frame: that belongs together.
        let single = step == Step::Event;
        let here = self.reel().position();
        let from = here - usize::from(back && !single && self.leaves(here.saturating_sub(1)));
        match self.reel().film().find(from, back, &goal) {
            Some(position) if !single && self.leaves(position) => self.jump(position + 1),
            Some(position) => self.jump(position),
            None if step == Step::Event && back => self.jump(0),
            None => {
                let way = if back { "before" } else { "after" };
                self.message = format!("There is none {way} this.");
            }
        }
    }

    /// Whether in this frame the packet leaves of which the frame before told.
    fn leaves(&self, frame: usize) -> bool {
        let frames = &self.reel().film().frames;
        let (Some(before), Some(this)) =
            (frame.checked_sub(1).and_then(|at| frames.get(at)), frames.get(frame))
        else {
            return false;
        };
        before.host == this.host
            && matches!(before.what, What::Device(TraceEvent::Sent { .. }))
            && matches!(this.what, What::Packet(_))
    }

    fn select(&mut self, by: isize) {
        let view = self.view();
        let rungs: Vec<&Rung> = view.rungs().collect();
        let at = rungs.iter().position(|rung| Some(rung.frame) == self.selected).unwrap_or(rungs.len());
        let to = at.saturating_add_signed(by).min(rungs.len().saturating_sub(1));
        self.selected = rungs.get(to).map(|rung| rung.frame);
        self.field = 0;
    }

    fn next_qp(&mut self) {
        let (host, nth) = self.looked_at;
        let hosts = &self.reel().scene().hosts;
        let more = hosts.get(host).is_some_and(|scene| nth + 1 < scene.qps.len());
        self.looked_at = if more { (host, nth + 1) } else { ((host + 1) % hosts.len().max(1), 0) };
    }

    fn fork(&mut self, kind: FaultKind) {
        self.running = false;
        let selected = self.selected.unwrap_or(usize::MAX);
        match self.reel().film().fork(selected, kind) {
            Ok(film) => {
                self.parting = self.reel().film().parting(&film);
                let kept = self.branches.swap_remove(self.branch);
                self.branches = vec![kept, Reel::new(Arc::new(film))];
                self.branch = 1;
                self.go(self.parting + 1);
                self.message =
                    format!("Another past, from event {} on. b shows the other one.", self.parting + 1);
            }
            Err(error) => self.message = format!("{error}."),
        }
    }

    /// The other branch, at the same time.
    fn other_branch(&mut self) {
        if self.branches.len() < 2 {
            self.message =
                "There is only one. Select a packet with j and k, then press x, y or z.".to_owned();
            return;
        }
        let now = self.reel().scene().now;
        self.branch = 1 - self.branch;
        let position = self.reel().film().frames.partition_point(|frame| frame.at <= now);
        self.jump(position);
    }

    /// A key while something is typed.
    fn enter(&mut self, event: &KeyEvent) {
        let Some((prompt, text)) = &mut self.entry else { return };
        match event.code {
            _ if event.kind == KeyEventKind::Release => {}
            KeyCode::Char(c) if text.chars().count() < LONGEST_ENTRY => text.push(c),
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Esc => self.entry = None,
            KeyCode::Enter => {
                let (prompt, text) = (*prompt, std::mem::take(text));
                self.entry = None;
                self.message.clear();
                self.entered(prompt, &text);
            }
            _ => {}
        }
    }

    fn entered(&mut self, prompt: char, text: &str) {
        if text.is_empty() {
            return;
        }
        if prompt == '/' {
            self.search = Some(Goal::Words(text.to_owned()));
            return self.step(Step::Found, false);
        }
        let frames = self.reel().film().frames.len();
        let position = match text.strip_suffix('%') {
            Some(part) => part
                .parse()
                .ok()
                .map(|part: usize| frames / 100 * part.min(100) + frames % 100 * part.min(100) / 100),
            None => text.trim_start_matches('e').parse().ok(),
        };
        match position {
            Some(position) => self.jump(position),
            None => self.message = format!("'{text}' is no number of an event, and no part as 50%."),
        }
    }
}

/// What there is in a film, and the keys that lead there.
fn overview(film: &Film) -> String {
    let kinds = [
        (Goal::Loss, ["loss", "losses"], 'd'),
        (Goal::Nak, ["NAK", "NAKs"], 'a'),
        (Goal::Retransmission, ["packet sent again", "packets sent again"], 'r'),
        (Goal::Failure, ["failure", "failures"], 'e'),
    ];
    let told = kinds.map(|(goal, [one, more], key)| {
        match film.frames.iter().filter(|frame| goal.is(film, frame)).count() {
            0 => format!("no {one}"),
            1 => format!("1 {one} ({key})"),
            count => format!("{count} {more} ({key})"),
        }
    });
    let events = film.frames.len();
    format!(
        "This is the beginning of {events} events: {}. The key in brackets goes there, its capital back; l goes on by one \
         event, space lets time run.",
        told.join(", ")
    )
}
