//! What `ferroce devices` and `ferroce doctor` tell scripts.

use std::process::{Command, Output};

use serde_json::Value;

fn ferroce(arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ferroce")).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

#[test]
fn devices_lists_loopback_and_personalities() {
    let (output, text) = ferroce(&["devices", "--json"]);
    assert!(output.status.success());
    let report: Value = serde_json::from_str(&text).unwrap();
    let interfaces = report["interfaces"].as_array().unwrap();
    let lo = interfaces.iter().find(|interface| interface["loopback"] == true).expect("there is one");
    assert_eq!((&lo["path_mtu"], &lo["up"]), (&Value::from(4096), &Value::from(true)));
    let addresses = lo["addresses"].as_array().unwrap();
    assert!(addresses.iter().any(|entry| entry["address"] == "127.0.0.1" && entry["gid_index"] == 1));
    for entry in addresses {
        assert_ne!(entry["port"].is_null(), entry["problem"].is_null(), "{entry}");
    }
    assert!(report["personalities"].as_array().unwrap().iter().any(|entry| entry["name"] == "rxe"));

    let (_, text) = ferroce(&["devices"]);
    assert!(text.contains("127.0.0.1") && text.contains("UDP_SEGMENT") && text.contains("rxe"), "{text}");
}

#[test]
fn doctors_exit_code_is_its_verdict() {
    let (output, text) = ferroce(&["doctor", "--json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let missing = checks.iter().any(|check| check["standing"] == "missing");
    assert_eq!(report["works"], Value::from(!missing));
    assert_eq!(output.status.code(), Some(i32::from(missing)));
    assert!(checks.iter().any(|check| check["feature"] == "UDP port 4791"), "{text}");
    let (_, text) = ferroce(&["doctor"]);
    assert!(text.contains("essential is missing"), "{text}");
}
