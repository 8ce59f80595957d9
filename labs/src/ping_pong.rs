//! The lab "Ping-pong": two programs, connected by hand.

use std::time::Duration;

use ferroce_engine::QpState;
use ferroce_fabric::{Chance, Link};

use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::{Row, Rule};
use crate::stage::{RDMA, Stage};
use crate::talk::{Players, Stop};

pub(crate) const PING_PONG: Lab = Lab {
    name: "ping-pong",
    title: "Ping-pong",
    language: Language::Rust,
    text: course_file!("ping-pong/README.md"),
    file: "pingpong.rs",
    starter: course_file!("ping-pong/starter.rs"),
    harness: course_file!("ping-pong/harness.rs"),
    modules: &[RDMA],
    steps: &[
        Step {
            name: CONNECT,
            title: "two queue pairs, connected to each other",
            hints: &[
                "Both sides do the same: make a completion queue and a queue pair, to_init, tell the peer the \
                 queue pair's number and a PSN, hear the peer's, to_rtr with the peer's, to_rts with your own.",
                "tell takes a list of numbers, and hear on the other side returns it: \
                 nic.tell(\"server\", &[qp.qpn() as u64, psn]).",
            ],
            questions: 2,
        },
        Step {
            name: ECHO,
            title: "one message, one answer",
            hints: &[
                "Post the receive after to_init and before tell: the peer cannot send before it has heard from \
                 you.",
                "After send, wait for completions until one has is_receive; the one of your send comes as well.",
                "The message is in the memory that you named in receive: memory.read(0..size).",
            ],
            questions: 4,
        },
        Step {
            name: ROUNDS,
            title: "many, of all sizes",
            hints: &[
                "As soon as you have read a message out of your memory, post a receive for the next one, and only \
                 then answer.",
                "A completion queue with room for 16 is enough if you take completions out as they come.",
            ],
            questions: 8,
        },
        Step {
            name: LOSSY,
            title: "on a network that loses packets",
            hints: &[
                "Nothing: the cards repeat what is lost. If this step fails, an earlier one passed by luck.",
            ],
            questions: 8,
        },
    ],
    draw: |step, number, dice| Box::new(Game::draw(step, number, dice)),
};

const CONNECT: &str = "connect";
const ECHO: &str = "echo";
const ROUNDS: &str = "rounds";
const LOSSY: &str = "lossy";

const STATE: Rule = Rule {
    name: "qp.rts",
    text: "A queue pair is led from Reset through Init and Rtr to Rts before anything can be sent.",
    source: "IBTA volume 1, 10.3.1",
};

const RECEIVE_FIRST: Rule = Rule {
    name: "receive.first",
    text: "A receive is posted before the message can arrive; otherwise the card must answer \"receiver not \
           ready\".",
    source: "IBTA volume 1, 9.7.5.2.8",
};

const CONTENT: Rule = Rule {
    name: "echo.content",
    text: "Every byte comes back increased by 1, and the client returns the sum of all bytes of all answers.",
    source: "this lab",
};

#[derive(Debug)]
struct Game {
    seed: u64,
    rounds: u64,
    size: usize,
    fill: u8,
    loss: Chance,
}

impl Game {
    fn draw(step: &str, number: usize, dice: &mut Dice) -> Game {
        let size = match number {
            0 | 1 => 1 + number,
            _ => 1 + dice.number(11) as usize,
        };
        let rounds = match step {
            CONNECT => 0,
            ECHO => 1,
            _ => 2 + dice.number(5),
        };
        let loss = if step == LOSSY { Chance::percent(5) } else { Chance::NEVER };
        Game { seed: dice.bits(), rounds, size, fill: dice.number(8) as u8, loss }
    }

    /// What the client must return.
    fn sum(&self) -> u64 {
        let answer = |round: u64| u64::from(self.fill.wrapping_add(round as u8).wrapping_add(1));
        (0..self.rounds).map(|round| answer(round) * self.size as u64).sum()
    }
}

impl Question for Game {
    fn describe(&self) -> String {
        let Game { rounds, size, fill, .. } = self;
        format!("rounds = {rounds}, size = {size}, fill = {fill}")
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        let Game { seed, rounds, size, fill, loss } = *self;
        let link = Link { loss, ..Link::perfect(Duration::from_micros(2)) };
        let parts = ["server", "client"].map(|part| (part.to_owned(), format!("{rounds} {size} {fill}")));
        let mut stage = Stage::open(players, seed, link, &parts)?;
        stage.forbid_rnr(&RECEIVE_FIRST);
        let results = stage.play(players)?;
        for (program, (name, _)) in parts.iter().enumerate() {
            let states = stage.states(program);
            if states != [QpState::Rts] {
                let text = format!("queue pairs of the {name}, when it ended: {states:?}");
                return Err(stage.wrong(&STATE, vec![Row::text("Seen", &text)]).into());
            }
        }
        let (wanted, seen) = (self.sum().to_string(), &results[1]);
        if *seen != wanted {
            let lines = [format!("the client returned {seen}"), format!("expected            {wanted}")];
            return Err(stage.wrong(&CONTENT, vec![Row::exact("Seen", lines)]).into());
        }
        Ok(())
    }
}
