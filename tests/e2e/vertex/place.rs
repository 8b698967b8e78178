//! Project and location: where they come from, and the address of the API that they make.

use serde_json::{Value, json};

use super::{EMAIL, Seat};

fn extra(seat: &Seat) -> (Value, Value) {
    let extra = seat.stored()["extra"].clone();
    (extra["project"].clone(), extra["location"].clone())
}

fn base(seat: &Seat) -> Value {
    seat.say("token vertex --json").ok().json()["api_base"].clone()
}

#[test]
fn flags_name_project_and_location() {
    let seat = Seat::new();
    let login =
        seat.login().arg("--project").arg("other-project").arg("--location").arg("asia-east1");
    let login = login.env("GOOGLE_CLOUD_LOCATION", "us-east1");
    seat.run(login).ok().stderr_has("project other-project in asia-east1");
    assert_eq!(extra(&seat), (json!("other-project"), json!("asia-east1")));
    assert_eq!(
        base(&seat),
        "https://asia-east1-aiplatform.googleapis.com/v1/projects/other-project/locations/asia-east1"
    );
}

#[test]
fn variables_name_the_location() {
    let all = ["GOOGLE_CLOUD_LOCATION", "CLOUD_ML_REGION", "GOOGLE_CLOUD_REGION"];
    for at in 0..all.len() {
        let seat = Seat::new();
        // The first one set wins, and an empty one is not set.
        let login = all.iter().enumerate().fold(seat.login(), |login, (n, name)| match n {
            n if n < at => login.env(name, ""),
            n => login.env(name, &format!("region-{n}")),
        });
        seat.run(login).ok();
        assert_eq!(extra(&seat).1, format!("region-{at}"), "{}", all[at]);
    }
}

#[test]
fn a_place_that_is_none_is_refused_before_anything_is_asked() {
    let seat = Seat::new();
    for place in ["", "US-Central1", "evil.example/", "us central1", "x@evil.example", "-x"] {
        let login = seat.run(seat.login().arg("--location").arg(place));
        login.code(2).stdout_is("").stderr_has("a location is a region's name");
        let project = seat.run(seat.login().arg("--project").arg(&format!("{place}/..")));
        project.code(2).stdout_is("").stderr_has("a project is named by its id");
    }
    let login = seat.run(seat.login().env("CLOUD_ML_REGION", "evil.example/"));
    login.code(2).stderr_has("CLOUD_ML_REGION");
    assert_eq!(seat.google.count(), 0);
    seat.nothing_is_stored();
}

#[test]
fn a_file_without_a_project_needs_the_flag() {
    let seat = Seat::new();
    let mut file = seat.key_file();
    file.as_object_mut().expect("an object").remove("project_id");
    let login = seat.run(seat.login_with(&file));
    login.code(2).stdout_is("").stderr_has("no project_id").stderr_has("--project ID");
    seat.nothing_is_stored();
    seat.run(seat.login_with(&file).arg("--project").arg("example.com:mine")).ok();
    assert_eq!(extra(&seat).0, "example.com:mine");
}

#[test]
fn the_place_without_a_region_has_a_host_without_one() {
    let seat = Seat::new();
    seat.run(seat.login().arg("--location").arg("global")).ok();
    let wanted = "https://aiplatform.googleapis.com/v1/projects/my-project/locations/global";
    assert_eq!(base(&seat), wanted);
    // One's own gateway, set afterwards.
    let api = json!({"base": "https://gateway.example/{project}/{location}"});
    seat.sandbox.write_config(&json!({"providers": {"vertex": {"api": api}}}));
    assert_eq!(base(&seat), "https://gateway.example/my-project/global");
}

#[test]
fn two_projects_live_side_by_side() {
    let seat = Seat::signed_in();
    let login = seat.login_as("vertex/lab", &seat.key_file());
    seat.run(login.arg("--project").arg("lab").arg("--location").arg("us-east5")).ok();
    let of = |account: &str| {
        let object = seat.say(&format!("token vertex/{account} --json")).ok().json();
        (object["token"].clone(), object["api_base"].as_str().unwrap_or_default().to_owned())
    };
    let (mine, lab) = (of(EMAIL), of("lab"));
    assert!(mine.1.ends_with("/projects/my-project/locations/us-central1"), "{mine:?}");
    assert!(lab.1.ends_with("/projects/lab/locations/us-east5"), "{lab:?}");
    assert_ne!(mine.0, lab.0);
    seat.say("use vertex/lab").ok();
    assert_eq!(base(&seat), lab.1);
    assert_eq!(seat.google.count(), 2);
    seat.google.assert_content();
}
