//! The lab "Selective repeat": only what is missing is sent again, to a responder that keeps what comes early.

mod judge;

use ferroce_engine::Personality;

use crate::course::{Lab, Language, Step, course_file};
use crate::dice::Dice;
use crate::network::Faults;
use crate::requester::{Game, Scheme, Weather};

pub(crate) const SELECTIVE_REPEAT: Lab = Lab {
    name: "selective-repeat",
    title: "Selective repeat",
    language: Language::Rust,
    text: course_file!("selective-repeat/README.md"),
    file: "selective.rs",
    starter: course_file!("selective-repeat/starter.rs"),
    harness: course_file!("selective-repeat/harness.rs"),
    modules: &[],
    steps: &[
        Step {
            name: WINDOW,
            title: "send and acknowledge, as go-back-N does",
            hints: &[
                "Begin with your requester of the lab \"Go-back-N\": post, next_packet, on_ack and completed are the same.",
                "Keep for each packet from the oldest on what is known of it: a VecDeque whose front is the oldest.",
            ],
            questions: 8,
        },
        Step {
            name: GAP,
            title: "send again what is missing, and nothing else",
            hints: &[
                "on_gap(expected, arrived) acknowledges everything before expected. Then mark `arrived`, and mark every \
                 packet before it that has not arrived as lost, unless it was sent again already.",
                "next_packet sends the first packet that is marked as lost, and clears the mark; when there is none, it goes \
                 on with new ones.",
                "A report about `arrived` can come twice. What was sent again is not lost a second time because of it.",
            ],
            questions: 12,
        },
        Step {
            name: TIMEOUT,
            title: "silence",
            hints: &[
                "After a timeout every packet that was sent and is not known to have arrived is lost, also those that were \
                 sent again before.",
                "What is known to have arrived stays known: the responder keeps it.",
            ],
            questions: 12,
        },
        Step {
            name: STORM,
            title: "everything at once",
            hints: &[
                "Reports come late and twice. What they say about packets before the oldest is old news; what they say about \
                 one behind it still counts.",
                "An ACK can cover packets that are marked as lost and not sent again yet: they need not be any more.",
            ],
            questions: 24,
        },
    ],
    draw: |step, number, dice| Box::new(draw(step, number, dice)),
};

const WINDOW: &str = "window";
const GAP: &str = "gap";
const TIMEOUT: &str = "timeout";
const STORM: &str = "storm";

fn draw(step: &str, number: usize, dice: &mut Dice) -> Game {
    let keeping = || {
        let recovery = Box::new(ferroce_engine::SelectiveRepeat::default());
        Personality { recovery, ..Personality::default() }
    };
    let scheme =
        Scheme { personality: keeping, judge: |flight| Box::new(judge::SelectiveRepeat::new(flight)) };
    Game::draw(scheme, number, dice, |light| {
        let none = Faults::default();
        let lossy = Faults { loss: light, ..none };
        let rough = Faults { loss: light, repeat: light / 2, delay: light / 2 };
        let faults = match step {
            WINDOW => [none, Faults { repeat: 24, delay: 24, ..none }],
            GAP => [lossy, none],
            TIMEOUT => [lossy, lossy],
            _ => [rough, rough],
        };
        Weather { faults, spares_last: step == GAP, nonsense: step != GAP }
    })
}
