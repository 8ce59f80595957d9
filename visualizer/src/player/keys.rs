//! The keys of the player, in one table: what they do, what the bottom line says and what the help says.

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use crate::film::FaultKind;
use crate::tui::keys::{Key, key, look_up};

/// What a user can want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// End.
    Quit,
    /// Let time run, or stop it.
    Run,
    /// Go to the next thing of a kind, or back to the one before.
    Go(Step, bool),
    /// Go to the beginning.
    Start,
    /// Go to the end.
    End,
    /// Let time run faster.
    Faster,
    /// Let time run slower.
    Slower,
    /// Select a later packet.
    Later,
    /// Select an earlier packet.
    Earlier,
    /// Show the next panel below.
    NextPanel,
    /// Show the panel before it.
    LastPanel,
    /// Look at the next queue pair.
    NextQp,
    /// Highlight the next field of the packet.
    NextField,
    /// Highlight the field before it.
    LastField,
    /// Ask for words to look for.
    Search,
    /// Ask for a position.
    Goto,
    /// Show only the packets of the host that is looked at, or all again.
    Filter,
    /// Make another branch, in which the selected packet meets this fate.
    Fork(FaultKind),
    /// Look at the other branch.
    Branch,
    /// Show or hide the help.
    Help,
    /// Hide what is in front.
    Back,
}

/// What to step to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the goal of its name")]
pub enum Step {
    Event,
    Packet,
    Loss,
    Retransmission,
    Nak,
    State,
    Completion,
    Failure,
    Switch,
    /// What was searched for.
    Found,
}

const fn go(step: Step) -> Action {
    Action::Go(step, false)
}

const fn back(step: Step) -> Action {
    Action::Go(step, true)
}

/// All keys. Ctrl-C does what `q` does. A capital goes back where the small letter goes on.
pub const KEYS: &[Key<Action>] = &[
    key(&[KeyCode::Char('q')], "q", Action::Quit, "quit", "Quit."),
    key(&[KeyCode::Char('?'), KeyCode::F(1)], "?", Action::Help, "help", "This page."),
    key(&[KeyCode::Char(' ')], "space", Action::Run, "run", "Let time run; stop it."),
    key(&[KeyCode::Char('h'), KeyCode::Left], "h", back(Step::Event), "back", "Back by one event."),
    key(&[KeyCode::Char('l'), KeyCode::Right], "l", go(Step::Event), "on", "On by one event."),
    key(&[KeyCode::Char('p')], "p", go(Step::Packet), "packet", "Next packet."),
    key(&[KeyCode::Char('P')], "P", back(Step::Packet), "", ""),
    key(&[KeyCode::Char('d')], "d", go(Step::Loss), "loss", "Next loss."),
    key(&[KeyCode::Char('D')], "D", back(Step::Loss), "", ""),
    key(&[KeyCode::Char('r')], "r", go(Step::Retransmission), "resend", "Next packet sent again."),
    key(&[KeyCode::Char('R')], "R", back(Step::Retransmission), "", ""),
    key(&[KeyCode::Char('a')], "a", go(Step::Nak), "nak", "Next NAK."),
    key(&[KeyCode::Char('A')], "A", back(Step::Nak), "", ""),
    key(&[KeyCode::Char('s')], "s", go(Step::State), "", "Next change of state."),
    key(&[KeyCode::Char('S')], "S", back(Step::State), "", ""),
    key(&[KeyCode::Char('c')], "c", go(Step::Completion), "", "Next completion."),
    key(&[KeyCode::Char('C')], "C", back(Step::Completion), "", ""),
    key(&[KeyCode::Char('e')], "e", go(Step::Failure), "", "Next failure."),
    key(&[KeyCode::Char('E')], "E", back(Step::Failure), "", ""),
    key(&[KeyCode::Char('i')], "i", go(Step::Switch), "", "Next mark, drop or pause."),
    key(&[KeyCode::Char('I')], "I", back(Step::Switch), "", ""),
    key(&[KeyCode::Char('/')], "/", Action::Search, "find", "Find words; n the next, N back."),
    key(&[KeyCode::Char('n')], "n", go(Step::Found), "", ""),
    key(&[KeyCode::Char('N')], "N", back(Step::Found), "", ""),
    key(&[KeyCode::Char(':')], ":", Action::Goto, "", "Go to event 7, or to 50%."),
    key(&[KeyCode::Char('g'), KeyCode::Home], "g", Action::Start, "", "The beginning; G the end."),
    key(&[KeyCode::Char('G'), KeyCode::End], "G", Action::End, "", ""),
    key(&[KeyCode::Tab], "Tab", Action::NextPanel, "panel", "Next panel; Shift-Tab back."),
    key(&[KeyCode::BackTab], "S-Tab", Action::LastPanel, "", ""),
    key(&[KeyCode::Char('k'), KeyCode::Up], "k", Action::Earlier, "", "Earlier packet; j a later one."),
    key(&[KeyCode::Char('j'), KeyCode::Down], "j", Action::Later, "", ""),
    key(&[KeyCode::Char(']')], "]", Action::NextField, "", "Next field; [ the one before."),
    key(&[KeyCode::Char('[')], "[", Action::LastField, "", ""),
    key(&[KeyCode::Char('o')], "o", Action::NextQp, "", "The other queue pair."),
    key(&[KeyCode::Char('f')], "f", Action::Filter, "", "Only this host's packets."),
    key(&[KeyCode::Char('x')], "x", Action::Fork(FaultKind::Drop), "", "What if it were lost?"),
    key(&[KeyCode::Char('y')], "y", Action::Fork(FaultKind::Delay), "", "What if it were late?"),
    key(&[KeyCode::Char('z')], "z", Action::Fork(FaultKind::Corrupt), "", "What if it were damaged?"),
    key(&[KeyCode::Char('v')], "v", Action::Fork(FaultKind::Deliver), "", "What if it arrived well?"),
    key(&[KeyCode::Char('b')], "b", Action::Branch, "", "The other past, and back."),
    key(&[KeyCode::Char('+'), KeyCode::Char('=')], "+", Action::Faster, "", "Faster; - slower."),
    key(&[KeyCode::Char('-')], "-", Action::Slower, "", ""),
    key(&[KeyCode::Esc], "Esc", Action::Back, "", ""),
];

/// What this key press asks for.
pub fn action(event: &KeyEvent) -> Option<Action> {
    look_up(KEYS, Action::Quit, event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_given_twice() {
        let codes: Vec<KeyCode> = KEYS.iter().flat_map(|key| key.codes).copied().collect();
        for (index, code) in codes.iter().enumerate() {
            assert!(!codes[..index].contains(code), "{code:?}");
        }
    }
}
