//! Labs in Python, with pyverbs.

use super::{Variant, step, variant};
use crate::atomics::ATOMICS;
use crate::course::{Lab, Language, course_file};
use crate::ping_pong::PING_PONG;

const LAB_PY: &[(&str, &str)] = &[("lab", course_file!("python/lab.py"))];

pub(crate) const PING_PONG_IN_PYTHON: Lab = variant(
    &PING_PONG,
    Language::Python,
    LAB_PY,
    Variant {
        name: "ping-pong-python",
        title: "Ping-pong in Python",
        text: concat!(course_file!("python/ping-pong/HEAD.md"), course_file!("python/ABOUT.md")),
        file: "pingpong.py",
        starter: course_file!("python/ping-pong/starter.py"),
        harness: course_file!("python/ping-pong/harness.py"),
        steps: &[
            step(
                "connect",
                "two queue pairs, connected to each other",
                &[
                    "to_init, then tell the peer qp.qp_num and a PSN, hear the peer's, and modify to RTR and RTS with the masks of \
                 the lab \"The states of a queue pair\".",
                    "QPAttr.ah_attr = path_to(peer). The names of all constants are in pyverbs.enums.",
                ],
                2,
            ),
            step(
                "echo",
                "one message, one answer",
                &[
                    "Post the receive after to_init and before tell: the peer cannot send before it has heard from you.",
                    "qp.post_recv(RecvWR(wr_id=1, num_sge=1, sg=[SGE(memory.buf, size, memory.lkey)])).",
                ],
                2,
            ),
            step(
                "rounds",
                "many, of all sizes",
                &[
                    "As soon as you have read a message out of your memory, post a receive for the next one, and only then \
                 answer.",
                ],
                3,
            ),
            step(
                "lossy",
                "on a network that loses packets",
                &[
                    "Nothing but a timeout and retries: timeout = 13 (34 milliseconds) and retry_cnt = 7 will do.",
                ],
                2,
            ),
        ],
    },
);

pub(crate) const ATOMICS_IN_PYTHON: Lab = variant(
    &ATOMICS,
    Language::Python,
    LAB_PY,
    Variant {
        name: "atomics-python",
        title: "Atomics in Python",
        text: concat!(course_file!("python/atomics/HEAD.md"), course_file!("python/ABOUT.md")),
        file: "atomics.py",
        starter: course_file!("python/atomics/starter.py"),
        harness: course_file!("python/atomics/harness.py"),
        steps: &[
            step(
                "ticket",
                "a counter that gives out every number once",
                &[
                    "IBV_WR_ATOMIC_FETCH_AND_ADD with set_wr_atomic(rkey, addr, 1): what comes into your memory is the ticket.",
                ],
                2,
            ),
            step(
                "lock",
                "a lock, and an account that it guards",
                &[
                    "IBV_WR_ATOMIC_CMP_AND_SWP with set_wr_atomic(rkey, addr, 0, 1), until what comes back is 0.",
                    "Wait for the completion of the WRITE of the account before you write 0 to the lock.",
                ],
                2,
            ),
            step(
                "lossy",
                "both, on a network that loses packets",
                &["Nothing: a card that gets an atomic twice carries it out once."],
                2,
            ),
        ],
    },
);
