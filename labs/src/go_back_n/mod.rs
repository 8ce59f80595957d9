//! The lab "Go-back-N": the student's requester against the engine's responder, through a network with faults.

mod judge;

use ferroce_engine::Personality;

use crate::course::{Lab, Language, Step, course_file};
use crate::dice::Dice;
use crate::network::Faults;
use crate::requester::{Game, Scheme, Weather};

pub(crate) const GO_BACK_N: Lab = Lab {
    name: "go-back-n",
    title: "Go-back-N",
    language: Language::Rust,
    text: course_file!("go-back-n/README.md"),
    file: "requester.rs",
    starter: course_file!("go-back-n/starter.rs"),
    harness: course_file!("go-back-n/harness.rs"),
    modules: &[],
    steps: &[
        Step {
            name: SEND,
            title: "send what is posted, in order, within the window",
            hints: &[
                "Keep three numbers: the PSN of the oldest packet without acknowledgement, how many packets are \
                 posted from there on, and how many of those are sent.",
                "next_packet returns None when all that is posted is sent, or when as many packets as the window \
                 allows are sent and not acknowledged.",
                "The PSN to send is (oldest + sent) & 0xFF_FFFF.",
            ],
            questions: 8,
        },
        Step {
            name: ACK,
            title: "acknowledgements",
            hints: &[
                "An ACK of psn covers all packets from the oldest to psn: distance + 1 of them, where distance is \
                 psn.wrapping_sub(oldest) & 0xFF_FFFF.",
                "If the distance is not smaller than the number of packets that are sent, the ACK is an old one \
                 (or nonsense): forget it.",
                "Keep the packet counts of the messages in a VecDeque; take away from the front what an ACK \
                 covers, and count the messages that are used up.",
            ],
            questions: 12,
        },
        Step {
            name: NAK,
            title: "a gap is reported",
            hints: &[
                "A NAK of psn acknowledges everything before psn: distance packets, not distance + 1.",
                "After that the NAK's PSN is the oldest, and the next packet to send is the oldest.",
                "How many packets were *ever* sent from the oldest on, and which is sent next, are two numbers \
                 once you have gone back: an ACK can cover packets that you are about to send again.",
            ],
            questions: 12,
        },
        Step {
            name: TIMEOUT,
            title: "nothing is heard",
            hints: &[
                "Send again from the oldest packet without acknowledgement; nothing else changes.",
                "An ACK that arrives after the timeout is as good as any: the packets it covers need not be sent \
                 again.",
            ],
            questions: 12,
        },
        Step {
            name: STORM,
            title: "everything at once",
            hints: &[
                "When an ACK covers packets that you are sending for the second time, the next to send moves \
                 forward with the oldest: it is never before it.",
                "An old NAK, of a PSN that was acknowledged since, is as stale as an old ACK.",
            ],
            questions: 24,
        },
    ],
    draw: |step, number, dice| Box::new(draw(step, number, dice)),
};

const SEND: &str = "send";
const ACK: &str = "ack";
const NAK: &str = "nak";
const TIMEOUT: &str = "timeout";
const STORM: &str = "storm";

fn draw(step: &str, number: usize, dice: &mut Dice) -> Game {
    let scheme =
        Scheme { personality: Personality::default, judge: |flight| Box::new(judge::GoBackN::new(flight)) };
    Game::draw(scheme, number, dice, |light| {
        let none = Faults::default();
        let lossy = Faults { loss: light, ..none };
        let rough = Faults { loss: light, repeat: light / 2, delay: light / 2 };
        let faults = match step {
            SEND => [none, none],
            ACK => [none, Faults { repeat: 24, delay: 24, ..none }],
            NAK => [lossy, none],
            TIMEOUT => [lossy, lossy],
            _ => [rough, rough],
        };
        Weather { faults, spares_last: step == NAK, nonsense: !matches!(step, SEND | NAK) }
    })
}
