//! The lab "Flow control": a stream whose receiver never runs out of receives.

use std::time::Duration;

use ferroce_fabric::{Chance, Link};

use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::{Row, Rule};
use crate::stage::{RDMA, Stage};
use crate::talk::{Players, Stop};

pub(crate) const FLOW_CONTROL: Lab = Lab {
    name: "flow-control",
    title: "Flow control",
    language: Language::Rust,
    text: course_file!("flow-control/README.md"),
    file: "stream.rs",
    starter: course_file!("flow-control/starter.rs"),
    harness: course_file!("flow-control/harness.rs"),
    modules: &[RDMA],
    steps: &[
        Step {
            name: FEW,
            title: "as many messages as there are receives",
            hints: &[
                "Post 8 receives in Receiver::new, each with its own 64 bytes of one memory of 512 bytes.",
                "The wr_id of a receive comes back in its completion: use it to tell which of the 8 places the \
                 message is in.",
            ],
            questions: 8,
        },
        Step {
            name: MANY,
            title: "more messages than receives",
            hints: &[
                "The sender counts credits: 8 at first, one less for every message it sends; with 0 it waits.",
                "The receiver sends a message of 1 byte back whenever it has posted another 4 receives, say. The \
                 sender posts receives for those in Sender::new, and adds 4 when one completes.",
                "Completions of sends and receives come from the same queue: is_receive tells them apart.",
                "The outbox may be written again only when the send that used it has completed: have 8 places, \
                 and keep a list of those that are free.",
            ],
            questions: 12,
        },
        Step {
            name: LOSSY,
            title: "on a network that loses packets",
            hints: &[
                "When a packet is lost completions come later, and several at once; nothing else changes.",
            ],
            questions: 6,
        },
    ],
    draw: |step, number, dice| Box::new(Game::draw(step, number, dice)),
};

const FEW: &str = "few";
const MANY: &str = "many";
const LOSSY: &str = "lossy";

/// Bytes of a message.
const SIZE: usize = 64;

const READY: Rule = Rule {
    name: "receive.ready",
    text: "No message is sent for which no receive is posted: the receiver's card would have to refuse it.",
    source: "IBTA volume 1, 9.7.5.2.8",
};

const CONTENT: Rule = Rule {
    name: "stream.content",
    text: "Every message arrives as it was when it was sent: memory is the card's from the post to the completion.",
    source: "IBTA volume 1, 10.8.3",
};

#[derive(Debug)]
struct Game {
    seed: u64,
    messages: u64,
    fill: u64,
    loss: Chance,
}

impl Game {
    fn draw(step: &str, number: usize, dice: &mut Dice) -> Game {
        let messages = match step {
            FEW => number as u64 + 1,
            MANY => 9 + 8 * number as u64 + dice.number(3),
            _ => 40 + dice.number(6),
        };
        let loss = if step == LOSSY { Chance::percent(5) } else { Chance::NEVER };
        Game { seed: dice.bits(), messages, fill: dice.number(8), loss }
    }
}

impl Question for Game {
    fn describe(&self) -> String {
        format!("messages = {}, fill = {}", self.messages, self.fill)
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        let Game { seed, messages, fill, loss } = *self;
        let link = Link { loss, ..Link::perfect(Duration::from_micros(2)) };
        let parts = ["receiver", "sender"].map(|part| (part.to_owned(), format!("{messages} {fill}")));
        let mut stage = Stage::open(players, seed, link, &parts)?;
        stage.forbid_rnr(&READY);
        let results = stage.play(players)?;
        let sum: u64 = (0..messages).map(|n| digest((fill + n) as u8)).sum();
        if results[0] != sum.to_string() {
            let lines =
                [format!("the receiver returned {}", results[0]), format!("expected              {sum}")];
            return Err(stage.wrong(&CONTENT, vec![Row::exact("Seen", lines)]).into());
        }
        Ok(())
    }
}

/// What the harness makes of a message of this byte.
fn digest(byte: u8) -> u64 {
    (0..SIZE).fold(1, |sum, _| sum * 31 % 1_000_003 + u64::from(byte))
}
