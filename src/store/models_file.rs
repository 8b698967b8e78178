//! The models an account was last told of: `cache/PROVIDER/ACCOUNT.json`. Nothing is lost with it, so
//! what cannot be read or written is as if it were not there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::account::AccountId;
use crate::store::{Store, file, remove};
use crate::text;
use crate::time::Timestamp;

/// A list of models as it was; `models` are pairs of id and label.
#[derive(Deserialize, Serialize)]
pub struct Remembered {
    version: u8,
    pub asked_at: Timestamp,
    /// Where it came from: another address has another list.
    pub url: String,
    pub models: Vec<(String, String)>,
}

impl Remembered {
    pub fn new(asked_at: Timestamp, url: String, models: Vec<(String, String)>) -> Remembered {
        Remembered { version: 1, asked_at, url, models }
    }
}

impl Store {
    fn models_path(&self, id: &AccountId) -> PathBuf {
        let name = format!("{}.json", text::file_name(&id.account));
        self.home.join("cache").join(&id.provider).join(name)
    }

    pub fn remembered_models(&self, id: &AccountId) -> Option<Remembered> {
        let bytes = file::read(&self.models_path(id)).ok()??;
        serde_json::from_slice(&bytes).ok()
    }

    pub fn remember_models(&self, id: &AccountId, models: &Remembered) {
        if let Ok(bytes) = serde_json::to_vec(models) {
            // A full disk, or a home that cannot be written, is no obstacle to the list itself.
            let _ = file::write(&self.models_path(id), &bytes);
        }
    }

    pub fn forget_models(&self, id: &AccountId) {
        // It may not be there.
        let _ = remove(&self.models_path(id));
    }
}
