//! All files and directories, what can be done to them, and what is left of them when the power goes.

use super::Rng;
use super::contents::{Contents, SECTOR, Sector, sector};
use super::names::{Names, Need, Stamp, Step};
use engine::store::disk::{Stat, not_regular};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

pub(super) const ROOT: u64 = 1;

/// What changes something. By the same operations, the same state comes about.
#[derive(Clone)]
pub(super) enum Op {
    Create(PathBuf),
    MakeDir(PathBuf),
    Rename(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
    Remove(PathBuf),
    Write(u64, u64, Arc<[u8]>),
    SetLen(u64, u64),
    Sync(u64),
    SyncDir(PathBuf),
    SyncAll,
    /// Of one file, or of all.
    SyncFailed(Option<u64>),
    /// Sabotage.
    Nothing,
}

impl Op {
    /// What it leaves behind where it fails.
    pub fn failed(self, chance: &mut Rng) -> Option<Op> {
        match self {
            Op::Write(inode, offset, bytes) => {
                let length = chance.index(bytes.len() + 1);
                Some(Op::Write(inode, offset, bytes[..length].into()))
            }
            Op::Sync(inode) => Some(Op::SyncFailed(Some(inode))),
            Op::SyncAll => Some(Op::SyncFailed(None)),
            _ => None,
        }
    }
}

#[derive(Clone)]
pub(super) enum Node {
    File(Contents),
    Dir(Names),
}

/// Clones share what is the same.
#[derive(Clone)]
pub(super) struct State {
    /// Also those without a name: it may still be on the disk.
    nodes: BTreeMap<u64, Arc<Node>>,
    stamp: Stamp,
}

impl Default for State {
    fn default() -> State {
        State { nodes: BTreeMap::from([(ROOT, Arc::new(Node::Dir(Names::default())))]), stamp: 1 }
    }
}

impl State {
    pub fn node(&self, inode: u64) -> &Node {
        &self.nodes[&inode]
    }

    pub fn contents(&self, inode: u64) -> Option<&Contents> {
        match self.node(inode) {
            Node::File(contents) => Some(contents),
            Node::Dir(_) => None,
        }
    }

    pub fn names(&self, inode: u64) -> Option<&Names> {
        match self.node(inode) {
            Node::Dir(names) => Some(names),
            Node::File(_) => None,
        }
    }

    /// A regular file by its name.
    pub fn regular(&self, name: &Path) -> io::Result<(u64, &Contents)> {
        let inode = self.find(name).map_err(|error| match error.kind() {
            io::ErrorKind::NotADirectory => not_regular(),
            _ => error,
        })?;
        Ok((inode, self.contents(inode).ok_or_else(not_regular)?))
    }

    pub fn find(&self, name: &Path) -> io::Result<u64> {
        name.components().try_fold(ROOT, |dir, part| match part {
            Component::CurDir => Ok(dir),
            Component::Normal(name) => {
                let names = self.names(dir).ok_or(io::ErrorKind::NotADirectory)?;
                Ok(names.get(name).ok_or(io::ErrorKind::NotFound)?)
            }
            _ => Err(io::ErrorKind::InvalidInput.into()),
        })
    }

    pub fn stat(&self, inode: u64) -> Stat {
        let identity = (1, inode);
        match self.node(inode) {
            Node::File(contents) => Stat {
                regular: true,
                length: contents.now.len() as u64,
                occupied: sectors(contents.now.len() as u64),
                modified: contents.modified,
                identity,
            },
            Node::Dir(_) => Stat { regular: false, length: 0, occupied: 0, modified: SystemTime::UNIX_EPOCH, identity },
        }
    }

    /// What all files take that have a name.
    pub fn used(&self) -> u64 {
        let dirs = self.nodes.keys().filter_map(|&inode| self.names(inode));
        let named: BTreeSet<u64> = dirs.flat_map(|names| names.now().map(|(_, inode)| inode)).collect();
        named.iter().map(|&inode| self.stat(inode).occupied).sum()
    }

    /// How much room an operation takes.
    pub fn growth(&self, op: &Op) -> u64 {
        let (inode, end) = match op {
            Op::Write(inode, offset, bytes) if !bytes.is_empty() => (*inode, offset + bytes.len() as u64),
            Op::SetLen(inode, length) => (*inode, *length),
            // Their names take room too.
            Op::Create(_) | Op::MakeDir(_) => return SECTOR as u64,
            _ => return 0,
        };
        sectors(end).saturating_sub(self.stat(inode).occupied)
    }

    /// What of an operation can be done with so much room.
    pub fn fitting(&self, op: Op, room: u64) -> Option<Op> {
        let Op::Write(inode, offset, bytes) = op else { return None };
        let most = (self.stat(inode).occupied + room).saturating_sub(offset);
        let length = usize::try_from(most).map_or(bytes.len(), |most| most.min(bytes.len()));
        Some(Op::Write(inode, offset, bytes[..length].into()))
    }

    pub fn apply(&mut self, op: &Op, now: SystemTime) -> io::Result<()> {
        self.stamp += 1;
        let done = self.done(op, now);
        if done.is_err() {
            // What failed is not kept: whoever does the same again without it gets the same inodes.
            self.stamp -= 1;
        }
        done
    }

    fn done(&mut self, op: &Op, now: SystemTime) -> io::Result<()> {
        match op {
            Op::Create(name) => self.make(name, Node::File(Contents::new(now))),
            Op::MakeDir(name) => match self.find(name).map(|inode| self.names(inode).is_some()) {
                Ok(true) => Ok(()),
                Ok(false) => Err(not_regular()),
                Err(_) => self.make(name, Node::Dir(Names::default())),
            },
            Op::Rename(from, to) => self.rename(from, to),
            Op::Link(from, to) => {
                self.parent(from).and(self.parent(to))?;
                let inode = self.find(from)?;
                self.contents(inode).ok_or(io::ErrorKind::PermissionDenied)?;
                self.add(to, inode)
            }
            Op::Remove(name) => self.remove(name),
            Op::Write(inode, offset, bytes) => {
                self.edit(*inode).write(*offset, bytes, now);
                Ok(())
            }
            Op::SetLen(inode, length) => {
                self.edit(*inode).set_len(*length, now);
                Ok(())
            }
            Op::Sync(inode) => {
                self.edit(*inode).sync();
                Ok(())
            }
            Op::SyncDir(dir) => {
                let dir = self.find(dir)?;
                let names = self.names(dir).ok_or(io::ErrorKind::NotADirectory)?;
                self.sync_names(names.unsynced(dir).collect());
                Ok(())
            }
            Op::SyncAll => {
                self.each_file(Contents::sync);
                let unsynced = |&inode: &u64| self.names(inode).map(|names| names.unsynced(inode));
                self.sync_names(self.nodes.keys().filter_map(unsynced).flatten().collect());
                Ok(())
            }
            Op::SyncFailed(Some(inode)) => {
                self.edit(*inode).sync_failed();
                Ok(())
            }
            Op::SyncFailed(None) => {
                self.each_file(Contents::sync_failed);
                Ok(())
            }
            Op::Nothing => Ok(()),
        }
    }

    fn make(&mut self, name: &Path, node: Node) -> io::Result<()> {
        // Not again, whatever becomes of it.
        let inode = ROOT + self.stamp;
        self.add(name, inode)?;
        self.nodes.insert(inode, Arc::new(node));
        Ok(())
    }

    fn add(&mut self, name: &Path, inode: u64) -> io::Result<()> {
        let (dir, last) = self.parent(name)?;
        if self.dir(dir).get(last).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.set(dir, last, Some(inode), Vec::new());
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from_dir, from), (to_dir, to_name)) = (self.parent(from)?, self.parent(to)?);
        let inode = self.dir(from_dir).get(from).ok_or(io::ErrorKind::NotFound)?;
        self.contents(inode).ok_or(io::ErrorKind::Unsupported)?;
        match self.dir(to_dir).get(to_name) {
            Some(same) if same == inode => return Ok(()),
            Some(other) if self.names(other).is_some() => return Err(io::ErrorKind::IsADirectory.into()),
            _ => (),
        }
        self.set(to_dir, to_name, Some(inode), Vec::new());
        // The old name goes only where the file can be found by the new one.
        let needs = to.ancestors().filter_map(|part| {
            let (dir, name) = self.parent(part).ok()?;
            self.dir(dir).need(dir, name)
        });
        let needs = needs.collect();
        self.set(from_dir, from, None, needs);
        Ok(())
    }

    fn remove(&mut self, name: &Path) -> io::Result<()> {
        let inode = self.find(name)?;
        let needs = match self.names(inode) {
            Some(names) if names.now().next().is_some() => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
            // Else files would go with it that only went to another directory.
            Some(names) => names.unsynced(inode).collect(),
            None => Vec::new(),
        };
        let (dir, last) = self.parent(name)?;
        self.set(dir, last, None, needs);
        Ok(())
    }

    /// Makes names durable, and all that has to be with them.
    fn sync_names(&mut self, mut needs: Vec<Need>) {
        while let Some(Need { dir, name, stamp }) = needs.pop() {
            needs.append(&mut self.dir_mut(dir).sync(&name, stamp));
        }
    }

    fn parent<'n>(&self, name: &'n Path) -> io::Result<(u64, &'n OsStr)> {
        let last = name.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let dir = self.find(name.parent().unwrap_or(Path::new("")))?;
        self.names(dir).ok_or(io::ErrorKind::NotADirectory)?;
        Ok((dir, last))
    }

    fn set(&mut self, dir: u64, name: &OsStr, inode: Option<u64>, needs: Vec<Need>) {
        let stamp = self.stamp;
        self.dir_mut(dir).set(name, Step { stamp, inode, needs });
    }

    fn dir(&self, inode: u64) -> &Names {
        self.names(inode).expect("it is a directory")
    }

    fn dir_mut(&mut self, inode: u64) -> &mut Names {
        match Arc::make_mut(self.nodes.get_mut(&inode).expect("nodes stay")) {
            Node::Dir(names) => names,
            Node::File(_) => unreachable!("it is a directory"),
        }
    }

    fn edit(&mut self, inode: u64) -> &mut Contents {
        match Arc::make_mut(self.nodes.get_mut(&inode).expect("nodes stay")) {
            Node::File(contents) => contents,
            Node::Dir(_) => unreachable!("it is a file"),
        }
    }

    fn each_file(&mut self, each: impl Fn(&mut Contents)) {
        for node in self.nodes.values_mut() {
            if matches!(**node, Node::File(_))
                && let Node::File(contents) = Arc::make_mut(node)
            {
                each(contents);
            }
        }
    }

    /// What is on the disk if the power goes now.
    pub fn crash(&self, chance: &mut Rng) -> State {
        let reached = self.reached(chance);
        let mut found = BTreeMap::new();
        let mut left = vec![ROOT];
        while let Some(inode) = left.pop() {
            if found.contains_key(&inode) {
                continue;
            }
            let node = match self.node(inode) {
                Node::File(contents) => Node::File(contents.crash(chance, |chance| self.garbage(inode, chance))),
                Node::Dir(names) => {
                    let names = names.histories().filter_map(|(name, history)| {
                        let stamp = reached.get(&(inode, name.clone())).copied().unwrap_or(0);
                        Some((name.clone(), history.upto(stamp)?))
                    });
                    let names: BTreeMap<_, _> = names.collect();
                    left.extend(names.values());
                    Node::Dir(Names::found(names))
                }
            };
            found.insert(inode, Arc::new(node));
        }
        State { nodes: found, stamp: self.stamp }
    }

    /// The operation up to which each name's are on the disk.
    fn reached(&self, chance: &mut Rng) -> BTreeMap<(u64, OsString), Stamp> {
        let dirs = || self.nodes.keys().filter_map(|&dir| Some((dir, self.names(dir)?)));
        let pending = || dirs().flat_map(|(dir, names)| names.unsynced(dir));
        let steps = |dir: u64, name: &OsStr, upto| self.dir(dir).steps(name, upto);
        let mut stamps: Vec<Stamp> = vec![0];
        for Need { dir, name, .. } in pending() {
            stamps.extend(steps(dir, &name, Stamp::MAX).iter().map(|step| step.stamp));
        }
        // Half of all file systems keep the order.
        let journal = (chance.index(2) == 0).then(|| stamps[chance.index(stamps.len())]);
        let mut reached = BTreeMap::new();
        let mut needs = Vec::new();
        for Need { dir, name, .. } in pending() {
            let steps = steps(dir, &name, Stamp::MAX);
            let any =
                |chance: &mut Rng| chance.index(steps.len() + 1).checked_sub(1).map_or(0, |last| steps[last].stamp);
            let stamp = journal.unwrap_or_else(|| any(chance));
            needs.push(Need { dir, name, stamp });
        }
        // The same way that syncs go.
        while let Some(Need { dir, name, stamp }) = needs.pop() {
            let upto = reached.entry((dir, name.clone())).or_insert(0);
            if *upto < stamp {
                *upto = stamp;
                needs.extend(steps(dir, &name, stamp).iter().flat_map(|step| step.needs.iter().cloned()));
            }
        }
        reached
    }

    /// A sector of another file, as it is or was.
    fn garbage(&self, but: u64, chance: &mut Rng) -> Sector {
        let files = self.nodes.keys().filter(|&&inode| inode != but).filter_map(|&inode| self.contents(inode));
        let files: Vec<&Contents> = files.filter(|contents| !contents.now.is_empty()).collect();
        if files.is_empty() {
            return [0xa5; SECTOR];
        }
        let bytes = &files[chance.index(files.len())].now;
        sector(bytes, chance.index(bytes.len().div_ceil(SECTOR)))
    }
}

/// The bytes of whole sectors.
fn sectors(length: u64) -> u64 {
    length.next_multiple_of(SECTOR as u64)
}
