//! Changing attributes: all of them are written anew, in the smallest form that holds them.

use vfs::{FileType, FsError, Result};

use super::{Attribute, VALUE_MAX, acl, flag, leaf, remote, short, stored_name};
use crate::bytes::word;
use crate::change::Change;
use crate::da::{Header, Plan, Space};
use crate::extent::Side;
use crate::fork::Fork;
use crate::inode::Inode;

impl Change<'_> {
    /// Sets an attribute by the name that the kernel shows, or removes it.
    pub(crate) fn set_attribute(
        &mut self,
        inode: &mut Inode,
        name: &[u8],
        value: Option<&[u8]>,
    ) -> Result<()> {
        let (space, stored) = stored_name(name)?;
        let mut attributes = self.fs.stored_attributes(inode)?;
        let before = attributes.len();
        attributes.retain(|attribute| attribute.space != space || attribute.name != stored);
        match value {
            None if attributes.len() == before => return Err(FsError::NotFound),
            None => {}
            Some(value) if value.len() > VALUE_MAX => {
                return Err(FsError::NoSpace("an attribute has at most 64 KiB"));
            }
            Some(value) => {
                let is_acl = space == flag::ROOT && acl::is_stored_name(&stored);
                let value = if is_acl { acl::stored(value)? } else { value.to_vec() };
                attributes.push(Attribute { space, name: stored, value });
            }
        }
        self.write_attributes(inode, attributes)
    }

    /// Frees all attributes.
    pub(crate) fn release_attributes(&mut self, inode: &mut Inode) -> Result<()> {
        if inode.attr.is_some() {
            self.map_ranges(inode, Side::Attr, &[])?;
            (inode.attr, inode.attr_extents) = (None, 0);
        }
        Ok(())
    }

    fn write_attributes(&mut self, inode: &mut Inode, mut attributes: Vec<Attribute>) -> Result<()> {
        if !attributes.is_empty() {
            self.fs.sb.note_attributes();
        }
        attributes.sort_by(|a, b| (a.hash(), a.space, &a.name).cmp(&(b.hash(), b.space, &b.name)));
        let inline = short::encode(&attributes).filter(|bytes| bytes.len() <= inode.attr_room(&self.fs.sb));
        match inline {
            _ if attributes.is_empty() => self.release_attributes(inode)?,
            Some(bytes) => {
                self.release_attributes(inode)?;
                inode.attr = Some(Fork::Inline(bytes));
            }
            None => self.write_leaves(inode, &attributes)?,
        }
        self.refit_data(inode)
    }

    fn write_leaves(&mut self, inode: &mut Inode, attributes: &[Attribute]) -> Result<()> {
        let space = Space::attributes(&self.fs.sb);
        let parts = leaf::parts(&self.fs.sb, attributes);
        let plan = Plan::new(&self.fs.sb, &space, parts.len());
        let mut next = plan.blocks();
        let mut places = Vec::new();
        for attribute in attributes {
            let local = leaf::is_local(&self.fs.sb, attribute);
            places.push(if local { 0 } else { word(next) });
            let blocks = if local { 0 } else { remote::blocks(&self.fs.sb, attribute.value.len()) };
            next = next.saturating_add(blocks);
        }
        if !matches!(inode.attr, Some(Fork::Extents(_) | Fork::Tree(_))) {
            inode.attr = Some(Fork::default());
            self.refit_data(inode)?;
        }
        self.map_ranges(inode, Side::Attr, std::slice::from_ref(&(0..next)))?;

        let mut highest = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let place = |number: usize| word(plan.leaf(&space, number));
            let back = number.checked_sub(1).map_or(0, place);
            let forw = number.checked_add(1).filter(|next| *next < parts.len()).map_or(0, place);
            let own = attributes.get(part.clone()).unwrap_or_default();
            let remote = places.get(part.clone()).unwrap_or_default();
            let block = leaf::encode(&self.fs.sb, (forw, back), own, remote)?;
            highest.push(own.last().map_or(0, Attribute::hash));
            self.stage_space_block(inode, &space, (plan.leaf(&space, number), block), Header::Index)?;
        }
        for node in plan.nodes(&self.fs.sb, &space, &highest)? {
            self.stage_space_block(inode, &space, node, Header::Index)?;
        }
        for (attribute, &at) in attributes.iter().zip(&places) {
            if !leaf::is_local(&self.fs.sb, attribute) {
                self.write_remote_value(inode, at, &attribute.value)?;
            }
        }
        Ok(())
    }

    /// Brings the data fork into the form for the room that the attributes leave it.
    fn refit_data(&mut self, inode: &mut Inode) -> Result<()> {
        if self.fs.directories.contains_key(&inode.number) {
            return self.fit_directory(inode);
        }
        let fits = inode.data.need() <= inode.data_room(&self.fs.sb);
        match &inode.data {
            Fork::Inline(_) if fits => Ok(()),
            Fork::Inline(target) if inode.file_type()? == FileType::Symlink => {
                let target = target.clone();
                self.write_remote_target(inode, &target)
            }
            Fork::Inline(_) => self.load_and_fit_directory(inode),
            Fork::Extents(_) | Fork::Tree(_) if inode.file_type()? == FileType::Symlink => {
                let target = self.fs.target(inode)?;
                self.map_ranges(inode, Side::Data, &[])?;
                self.write_target(inode, &target)
            }
            Fork::Extents(_) if fits => Ok(()),
            Fork::Extents(_) | Fork::Tree(_) => {
                let extents = self.fs.extents(inode, Side::Data)?;
                self.set_extents(inode, Side::Data, extents)
            }
            Fork::Device(_) => Ok(()),
        }
    }
}
