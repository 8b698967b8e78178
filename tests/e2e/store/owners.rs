//! Root at work in somebody else's home (`sudo keyfob …`): what it leaves behind belongs to the
//! owner of the folder, who can go on with it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::token::place::{EXPIRED_S, ME, Place, text};
use crate::token::shell::{NOBODY, as_nobody, give_away, is_root, sandbox_root};

/// A place whose home belongs to `NOBODY`; `None`, with the reason printed, unless we are root.
fn foreign() -> Option<Place> {
    if !is_root() {
        println!("skipped: only root works in homes of others");
        return None;
    }
    Some(Place::new())
}

fn assert_owned(place: &Place, path: &Path) {
    let uid = fs::symlink_metadata(path).expect("it is there").uid();
    assert_eq!(uid, NOBODY, "{}\n{}", path.display(), place.home.listing());
    if path.is_dir() {
        fs::read_dir(path)
            .expect("root may")
            .flatten()
            .for_each(|e| assert_owned(place, &e.path()));
    }
}

#[test]
fn a_refresh_by_root_leaves_every_file_to_its_owner() {
    let Some(place) = foreign() else { return };
    place.signed_in(EXPIRED_S);
    give_away(&sandbox_root(&place.home));
    place.token().run().ok();
    assert_eq!(fs::metadata(place.file()).expect("it is there").uid(), NOBODY);
    assert_owned(&place, &place.home.home());
}

#[test]
fn the_owner_can_refresh_after_root_did() {
    let Some(place) = foreign() else { return };
    place.signed_in(EXPIRED_S);
    give_away(&sandbox_root(&place.home));
    place.token().run().ok();
    let output = as_nobody(&place.home, &["refresh", "my-idp"]);
    output.ok().stdout_is("");
    assert_eq!(place.refreshes(), 2);
    let output = as_nobody(&place.home, &["token", "my-idp"]);
    output.ok().stdout_is(&format!("{}\n", text(&place.stored(), "access_token")));
}

#[test]
fn a_login_by_root_leaves_every_file_and_folder_to_the_owner_of_the_home() {
    let Some(place) = foreign() else { return };
    give_away(&sandbox_root(&place.home));
    place.sign_in(ME).ok();
    place.home.cmd(&["use", "my-idp/me@example.com"]).run().ok();
    assert_owned(&place, &place.home.home());
    let output = as_nobody(&place.home, &["token", "my-idp"]);
    output.ok().stdout_is(&format!("{}\n", text(&place.stored(), "access_token")));
    as_nobody(&place.home, &["refresh", "my-idp"]).ok();
}
