//! Labs in C, against the headers of libibverbs.

use super::{Variant, step, variant};
use crate::all_reduce::ALL_REDUCE;
use crate::atomics::ATOMICS;
use crate::block_device::BLOCK_DEVICE;
use crate::completions::COMPLETIONS;
use crate::course::{Lab, Language, course_file};
use crate::flow_control::FLOW_CONTROL;
use crate::key_value::KEY_VALUE;
use crate::one_sided::ONE_SIDED;
use crate::ping_pong::PING_PONG;
use crate::three_ways::THREE_WAYS;

const LAB_H: &[(&str, &str)] = &[("lab", course_file!("c/lab.h"))];

/// A text: what is special about it, and what all have in common.
macro_rules! text {
    ($lab:literal) => {
        concat!(course_file!(concat!("c/", $lab, "/HEAD.md")), course_file!("c/ABOUT.md"))
    };
}

/// The program around the student's file.
macro_rules! harness {
    ($lab:literal) => {
        concat!(
            course_file!("c/inside.h"),
            course_file!("c/broken.h"),
            course_file!(concat!("c/", $lab, "/harness.c"))
        )
    };
}

pub(crate) const PING_PONG_IN_C: Lab = variant(
    &PING_PONG,
    Language::C,
    LAB_H,
    Variant {
        name: "ping-pong-c",
        title: "Ping-pong in C",
        text: text!("ping-pong"),
        file: "pingpong.c",
        starter: course_file!("c/ping-pong/starter.c"),
        harness: harness!("ping-pong"),
        steps: &[
            step(
                "connect",
                "two queue pairs, connected to each other",
                &[
                    "ibv_alloc_pd, ibv_create_cq, ibv_create_qp, then ibv_modify_qp to INIT, RTR and RTS. Before RTR, tell the \
                 peer qp->qp_num and a PSN, and hear the peer's.",
                    "RTR needs IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN | \
                 IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER; ah_attr has is_global = 1, port_num = 1 and \
                 grh.dgid = gid_of(peer).",
                    "RTS needs IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN | \
                 IBV_QP_MAX_QP_RD_ATOMIC.",
                ],
                2,
            ),
            step(
                "echo",
                "one message, one answer",
                &[
                    "Post the receive after INIT and before tell: the peer cannot send before it has heard from you.",
                    "An sge is address, length and mr->lkey. memory() of lab.h registers zero bytes.",
                    "After ibv_post_send wait for completions until one has the opcode IBV_WC_RECV; the one of your send comes \
                 as well.",
                ],
                3,
            ),
            step(
                "rounds",
                "many, of all sizes",
                &[
                    "As soon as you have read a message out of your memory, post a receive for the next one, and only then \
                 answer.",
                ],
                5,
            ),
            step(
                "lossy",
                "on a network that loses packets",
                &[
                    "Nothing but a timeout and retries: the cards repeat what is lost. timeout = 13 and retry_cnt = 7 will do.",
                ],
                3,
            ),
        ],
    },
);

pub(crate) const FLOW_CONTROL_IN_C: Lab = variant(
    &FLOW_CONTROL,
    Language::C,
    LAB_H,
    Variant {
        name: "flow-control-c",
        title: "Flow control in C",
        text: text!("flow-control"),
        file: "stream.c",
        starter: course_file!("c/flow-control/starter.c"),
        harness: harness!("flow-control"),
        steps: &[
            step(
                "few",
                "as many messages as there are receives",
                &[
                    "Post all eight receives in receiver_new, each with 64 bytes of its own, and its place as wr_id.",
                ],
                3,
            ),
            step(
                "many",
                "more",
                &[
                    "The sender begins with a credit of eight. After every four messages the receiver, having posted as many \
                 receives again, sends a message of no bytes: four more.",
                    "The sender needs receives for those messages, from sender_new on.",
                ],
                3,
            ),
            step(
                "lossy",
                "on a network that loses packets",
                &[
                    "A part of the outbox can be used again when its own send has completed, not before: keep a list of free ones.",
                ],
                2,
            ),
        ],
    },
);

pub(crate) const COMPLETIONS_IN_C: Lab = variant(
    &COMPLETIONS,
    Language::C,
    LAB_H,
    Variant {
        name: "completions-c",
        title: "Completions in C",
        text: text!("completions"),
        file: "writer.c",
        starter: course_file!("c/completions/starter.c"),
        harness: harness!("completions"),
        steps: &[
            step(
                "blocks",
                "everything arrives before you return",
                &[
                    "Requests complete in the order in which they were posted: wait for the completion of the last.",
                ],
                3,
            ),
            step(
                "sparse",
                "at most one completion for eight writes",
                &[
                    "send_flags = IBV_SEND_SIGNALED for every eighth block and for the last, 0 for all others.",
                    "Sixteen blocks of memory, used in turn: block n can be written again when n - 16 is known to be done.",
                ],
                3,
            ),
            step(
                "lossy",
                "on a network that loses packets",
                &["Memory is the card's until a completion, its own or that of a later request, has come."],
                2,
            ),
        ],
    },
);

pub(crate) const ONE_SIDED_IN_C: Lab = variant(
    &ONE_SIDED,
    Language::C,
    LAB_H,
    Variant {
        name: "one-sided-c",
        title: "One-sided in C",
        text: text!("one-sided"),
        file: "window.c",
        starter: course_file!("c/one-sided/starter.c"),
        harness: harness!("one-sided"),
        steps: &[
            step(
                "write",
                "write into the other side's memory",
                &[
                    "Copy the bytes into registered memory of your own, and post IBV_WR_RDMA_WRITE to remote.addr + at.",
                ],
                2,
            ),
            step("read", "read from it", &["IBV_WR_RDMA_READ into memory with IBV_ACCESS_LOCAL_WRITE."], 2),
            step(
                "notice",
                "a letter that nobody announces",
                &[
                    "Two WRITEs, in this order: the letter, then its number and length.",
                    "Look at the number through a volatile pointer, with work(100) in between.",
                ],
                2,
            ),
            step(
                "refused",
                "when the other card refuses",
                &[
                    "Return the completion's status. window_reconnect: new_qp, then connect_to(\"owner\", qp, 0).",
                ],
                3,
            ),
        ],
    },
);

pub(crate) const KEY_VALUE_IN_C: Lab = variant(
    &KEY_VALUE,
    Language::C,
    LAB_H,
    Variant {
        name: "key-value-c",
        title: "A key-value store in C",
        text: text!("key-value"),
        file: "table.c",
        starter: course_file!("c/key-value/starter.c"),
        harness: harness!("key-value"),
        steps: &[
            step(
                "one",
                "a table with one key",
                &[
                    "fill writes htobe64(key) and htobe64(value) into a slot; client_get posts IBV_WR_RDMA_READ of 16 bytes from \
                 table.addr + 16 * slot.",
                ],
                2,
            ),
            step(
                "many",
                "many keys, also some that are not there",
                &[
                    "If the slot that was read holds another key, read the next one; an empty slot ends the search.",
                ],
                3,
            ),
            step(
                "full",
                "a table that has hardly an empty slot",
                &["Stop after as many slots as there are: a full table has no empty slot to end at."],
                2,
            ),
            step(
                "thrift",
                "no more is read than must be",
                &[
                    "Multiply the key by a large odd number, and take the upper half of the product modulo slots.",
                ],
                2,
            ),
        ],
    },
);

pub(crate) const ATOMICS_IN_C: Lab = variant(
    &ATOMICS,
    Language::C,
    LAB_H,
    Variant {
        name: "atomics-c",
        title: "Atomics in C",
        text: text!("atomics"),
        file: "atomics.c",
        starter: course_file!("c/atomics/starter.c"),
        harness: harness!("atomics"),
        steps: &[
            step(
                "ticket",
                "a counter that gives out every number once",
                &[
                    "IBV_WR_ATOMIC_FETCH_AND_ADD with compare_add = 1 into a word of your own memory: what comes is the ticket.",
                ],
                3,
            ),
            step(
                "lock",
                "a lock, and an account that it guards",
                &[
                    "IBV_WR_ATOMIC_CMP_AND_SWP with compare_add = 0 and swap = 1, until what comes back is 0.",
                    "Wait for the completion of the WRITE of the account before you write 0 to the lock.",
                ],
                3,
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

pub(crate) const ALL_REDUCE_IN_C: Lab = variant(
    &ALL_REDUCE,
    Language::C,
    LAB_H,
    Variant {
        name: "all-reduce-c",
        title: "Ring all-reduce in C",
        text: text!("all-reduce"),
        file: "reduce.c",
        starter: course_file!("c/all-reduce/starter.c"),
        harness: harness!("all-reduce"),
        steps: &[
            step(
                "two",
                "two ranks",
                &[
                    "Post 2 * (ranks - 1) receives without memory in ring_new. Write part `rank` with IBV_WR_RDMA_WRITE_WITH_IMM to \
                     the same place of next_inbox, wait for a completion in `received`, and add the other part from your inbox.",
                    "Then write what you have summed up, wait again, and copy.",
                ],
                3,
            ),
            step(
                "ring",
                "more",
                &[
                    "In step s rank r writes part r - s and gets part r - s - 1, both modulo the number of ranks.",
                ],
                4,
            ),
            step(
                "lossy",
                "on a network that loses packets",
                &["Wait for the completion of the receive, not only of your own WRITE."],
                3,
            ),
            step(
                "traffic",
                "no more bytes than a ring needs",
                &["Only one part goes out in each step: length / ranks numbers."],
                2,
            ),
        ],
    },
);

pub(crate) const THREE_WAYS_IN_C: Lab = variant(
    &THREE_WAYS,
    Language::C,
    LAB_H,
    Variant {
        name: "three-ways-c",
        title: "Three ways to connect, in C",
        text: text!("three-ways"),
        file: "ways.c",
        starter: course_file!("c/three-ways/starter.c"),
        harness: harness!("three-ways"),
        steps: &[
            step(
                "hand",
                "by hand",
                &[
                    "It is the lab \"Ping-pong in C\" once more: ibv_create_qp, to_init, a receive, tell, hear, then \
                     ibv_modify_qp to RTR and RTS.",
                    "Put what both ends share into a struct, with functions that wait for a message and send one: you will use \
                     it again for cm.",
                ],
                3,
            ),
            step(
                "cm",
                "by the connection manager",
                &[
                    "Without an event channel: rdma_create_id(NULL, &id, NULL, RDMA_PS_TCP). The server binds to a struct \
                     sockaddr_in that has only sin_family and sin_port.",
                    "rdma_create_qp(id, pd, &init) with pd and cq of id->verbs; post a receive; then rdma_connect or \
                     rdma_accept with .retry_count = 7 and .rnr_retry_count = 7.",
                    "Nothing is told. In the end the server calls rdma_destroy_id(listener), and leaves the connection alone: \
                     the last answer may be on its way yet.",
                ],
                4,
            ),
            step(
                "refuse",
                "versions that the server does not speak",
                &[
                    "The server: rdma_get_request until private_data[0] is its version; all others get rdma_reject and \
                     rdma_destroy_id.",
                    "The client: private_data = &version, private_data_len = 1. If rdma_connect fails and errno is \
                     ECONNREFUSED, the next version, with a new identifier and queue pair.",
                ],
                4,
            ),
            step(
                "sockets",
                "over sockets",
                &[
                    "rrecv returns how many bytes there were, which can be fewer than a message has. Call it until you have \
                     `size` bytes.",
                ],
                4,
            ),
        ],
    },
);

pub(crate) const BLOCK_DEVICE_IN_C: Lab = variant(
    &BLOCK_DEVICE,
    Language::C,
    LAB_H,
    Variant {
        name: "block-device-c",
        title: "A remote block device in C",
        text: text!("block-device"),
        file: "disk.c",
        starter: course_file!("c/block-device/starter.c"),
        harness: harness!("block-device"),
        steps: &[
            step(
                "one",
                "one block at a time",
                &[
                    "The client: register memory with IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ \
                     in client_new; put the block there, send a command with its address and rkey, and wait for IBV_WC_RECV.",
                    "The target, for a write: IBV_WR_RDMA_READ from the address in the command, wait for it, and copy the block \
                     into the store. For a read: IBV_WR_RDMA_WRITE of the block, then the answer.",
                    "A command that is none ends target_serve: client_shut_down sends it. The target posts a receive more than \
                     there are commands for that.",
                ],
                3,
            ),
            step(
                "bounds",
                "blocks that are not there",
                &["Answer that there is no such block, and move no data. The connection goes on."],
                3,
            ),
            step(
                "depth",
                "eight commands at once",
                &[
                    "client_submit sends a command and returns; client_finish waits for one answer, which names the slot.",
                    "The target must not wait for the data of one command while others come: post its READ or WRITE and go on \
                     with wait_for; when that completes (wr_id says which command it was), send the answer.",
                ],
                3,
            ),
            step(
                "lossy",
                "on a network that loses packets",
                &["Nothing new. If it fails, two commands share memory somewhere."],
                3,
            ),
        ],
    },
);
