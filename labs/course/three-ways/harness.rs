//! Plays a part of the student's, in one of the ways.

mod ways;

/// Where servers listen.
const PORT: u16 = 7471;

fn main() {
    rdma::act(|nic, part, numbers| {
        let (way, rounds, size, rest) = (numbers[0], numbers[1], numbers[2] as usize, &numbers[3..]);
        let fill = rest[0] as u8;
        let versions: Vec<u8> = rest[1..].iter().map(|&version| version as u8).collect();
        match (part, way) {
            ("server", 0) => ways::hand_server(nic, rounds, size),
            ("server", 3) => ways::socket_server(nic, PORT, rounds, size),
            ("server", _) => ways::cm_server(nic, PORT, rest[0] as u8, rounds, size),
            (_, 0) => return ways::hand_client(nic, rounds, size, fill),
            (_, 3) => return ways::socket_client(nic, PORT, rounds, size, fill),
            _ => return ways::cm_client(nic, PORT, &versions, rounds, size, fill),
        }
        0
    });
}
