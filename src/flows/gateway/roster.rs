//! All accounts, settings and keys as they were read, and who of them a model's name means. Made anew when
//! a file changes.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::account::{AccountId, SERVER_PREFIX};
use crate::error::Result;
use crate::flows::gateway::member::Member;
use crate::flows::gateway::settings::Settings;
use crate::protocol::gateway::listing::Listed;
use crate::provider::{Dialect, Providers};
use crate::store::{ClientKey, Store};

pub struct Roster {
    /// With the settings that all of this was read with.
    pub store: Store,
    pub settings: Settings,
    pub keys: Vec<ClientKey>,
    pub providers: Providers,
    pub members: Vec<Arc<Member>>,
}

/// An account, a way to speak to it and a model, for one request.
#[derive(Clone)]
pub struct Target {
    pub member: Arc<Member>,
    pub model: String,
    /// Of the names behind an alias the first goes first.
    pub rank: usize,
}

/// Why no account can be asked.
#[derive(Debug, PartialEq, Eq)]
pub enum Nobody {
    /// It is to be had at other routes.
    OtherDialects(Vec<Dialect>),
    /// No account knows the model.
    UnknownModel,
    /// No account speaks this at all.
    NoAccount,
}

impl Roster {
    /// Reads everything. An account that cannot be used is a member with a trouble.
    /// `keys`: in place of those that are kept; of accounts that none of them is for nothing is wanted.
    pub fn read(
        store: Store,
        own: Option<SocketAddr>,
        keys: Option<Vec<ClientKey>>,
        settings: Settings,
    ) -> Result<Roster> {
        let rows_of = store.again();
        // Of faults in rows `status` and `doctor` tell.
        let providers = Providers::new(move || Ok(rows_of.rows(&rows_of.config()?)), |_| ());
        let is_for_all = keys.is_none();
        let keys = keys.map_or_else(|| store.client_keys(), Ok)?;
        let is_wanted = |id: &AccountId| is_for_all || keys.iter().any(|key| key.is_good_for(id));
        let mut members = Vec::new();
        for id in store.all_accounts()? {
            if !id.provider.starts_with(SERVER_PREFIX) && is_wanted(&id) {
                members.push(Arc::new(Member::read(&id, &store, &providers, own)));
            }
        }
        Ok(Roster { store, settings, keys, providers, members })
    }

    /// Who may be asked for a model in a dialect with this key.
    pub fn targets(
        &self,
        model: &str,
        dialect: Dialect,
        key: &ClientKey,
    ) -> std::result::Result<Vec<Target>, Nobody> {
        let mut found = Vec::new();
        let mut nobody = None;
        for (rank, name) in self.settings.behind(model).into_iter().enumerate() {
            match self.targets_of(name, dialect, key, rank) {
                Ok(targets) => found.extend(targets),
                Err(why) => nobody = nobody.or(Some(why)),
            }
        }
        match nobody {
            Some(why) if found.is_empty() => Err(why),
            _ => Ok(found),
        }
    }

    fn targets_of(
        &self,
        name: &str,
        dialect: Dialect,
        key: &ClientKey,
        rank: usize,
    ) -> std::result::Result<Vec<Target>, Nobody> {
        let (mut pool, model) = self.pool(name, dialect, key);
        let speaks = |member: &&Arc<Member>| member.face(dialect).is_some();
        let is_spoken = pool.iter().any(|member| speaks(&member));
        pool.retain(|member| !member.is_excluded(&model, &self.settings));
        let speaking: Vec<_> = pool.iter().filter(speaks).collect();
        let with = |wanted: Option<bool>| {
            let fitting = speaking.iter().filter(|member| member.has(&model) == wanted);
            fitting.map(|member| Arc::clone(member)).collect::<Vec<_>>()
        };
        let mut chosen = with(Some(true));
        if !chosen.is_empty() {
            // A list that did not come says nothing against an account of the same provider.
            let is_alike = |member: &&&Arc<Member>| {
                let mut known = chosen.iter();
                member
                    .has(&model)
                    .unwrap_or_else(|| known.any(|known| known.id.provider == member.id.provider))
            };
            chosen = speaking.iter().filter(is_alike).map(|member| Arc::clone(member)).collect();
        }
        if chosen.is_empty() {
            let elsewhere = pool.iter().filter(|member| {
                !member.faces.is_empty() && !speaks(member) && member.has(&model) == Some(true)
            });
            let mut dialects = Vec::new();
            for dialect in elsewhere.flat_map(|member| member.faces.iter().map(|f| f.dialect)) {
                if !dialects.contains(&dialect) {
                    dialects.push(dialect);
                }
            }
            if !dialects.is_empty() {
                return Err(Nobody::OtherDialects(dialects));
            }
            chosen = with(None);
        }
        if chosen.is_empty() && is_of_one_provider(&speaking) {
            // Its list need not name all that it has; the provider itself knows best.
            chosen = with(Some(false));
        }
        match (chosen.is_empty(), is_spoken) {
            (false, _) => {
                let target = |member| Target { member, model: model.clone(), rank };
                Ok(chosen.into_iter().map(target).collect())
            }
            (true, true) => Err(Nobody::UnknownModel),
            (true, false) => Err(Nobody::NoAccount),
        }
    }

    /// The accounts that a name may mean, and the model's own name.
    fn pool(&self, name: &str, dialect: Dialect, key: &ClientKey) -> (Vec<Arc<Member>>, String) {
        let usable = |member: &&Arc<Member>| {
            member.trouble.is_none() && !member.is_disabled() && key.is_good_for(&member.id)
        };
        let all: Vec<_> = self.members.iter().filter(usable).map(Arc::clone).collect();
        if let Some((first, rest)) = name.split_once('/').filter(|(_, rest)| !rest.is_empty()) {
            let keep = |fits: &dyn Fn(&Member) -> bool| {
                all.iter().filter(|member| fits(member)).map(Arc::clone).collect::<Vec<_>>()
            };
            let prefixed = keep(&|member| member.prefix().as_deref() == Some(first));
            if !prefixed.is_empty() {
                return (prefixed, rest.to_owned());
            }
            let provider = self.providers.find(first).ok().flatten().map(|row| row.id.as_str());
            let of_provider = keep(&|member| Some(member.id.provider.as_str()) == provider);
            // Some names of models begin like a provider's.
            let has = |member: &Arc<Member>, model| member.has(model) == Some(true);
            let is_whole_name = all.iter().any(|member| has(member, name))
                && !of_provider.iter().any(|member| has(member, rest));
            let speaks = of_provider.iter().any(|member| member.face(dialect).is_some());
            if !of_provider.is_empty() && !is_whole_name && (speaks || provider == Some(first)) {
                return (of_provider, rest.to_owned());
            }
        }
        (all, name.to_owned())
    }

    /// Every model that can be asked for now, by every name that it has here.
    pub fn listing(&self, key: &ClientKey, dialect: Option<Dialect>) -> Vec<Listed> {
        let mut found: Vec<Listed> = Vec::new();
        let mut add = |id: String, label: &str, owner: &str| {
            if !found.iter().any(|known| known.id == id) {
                found.push(Listed { id, label: label.to_owned(), owner: owner.to_owned() });
            }
        };
        for member in &self.members {
            let speaks = match dialect {
                Some(dialect) => member.face(dialect).is_some(),
                None => !member.faces.is_empty(),
            };
            if !speaks || !member.is_usable() || !key.is_good_for(&member.id) {
                continue;
            }
            let models = member.models();
            let named = member.named_models();
            let known = models.iter().flat_map(|all| all.iter());
            let known = known.map(|model| (model.id.as_str(), model.label.as_str()));
            for (id, label) in known.chain(named.iter().map(|id| (id.as_str(), id.as_str()))) {
                if member.is_excluded(id, &self.settings) {
                    continue;
                }
                add(id.to_owned(), label, &member.id.provider);
                if let Some(prefix) = member.prefix() {
                    add(format!("{prefix}/{id}"), label, &member.id.provider);
                }
            }
        }
        for alias in self.settings.aliases.keys() {
            let dialects = [
                Dialect::AnthropicMessages,
                Dialect::GeminiGenerateContent,
                Dialect::OpenaiChat,
                Dialect::OpenaiResponses,
            ];
            let wanted = dialects.into_iter().filter(|one| dialect.is_none_or(|d| d == *one));
            let mut targets = wanted.filter_map(|one| self.targets(alias, one, key).ok()).flatten();
            // That somebody may know a name better than its list is no reason to offer it.
            let can_be_had = |target: &Target| target.member.has(&target.model) != Some(false);
            if let Some(first) = targets.find(can_be_had) {
                add(alias.clone(), alias, &first.member.id.provider);
            }
        }
        found.sort();
        found
    }
}

fn is_of_one_provider(members: &[&Arc<Member>]) -> bool {
    members.windows(2).all(|pair| pair[0].id.provider == pair[1].id.provider)
}
