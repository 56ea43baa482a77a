//! A pack on its way to the destination: a full builder or a finished pack in, what an index has to say of the pack out.

use crate::Result;
use crate::blob::BlobType;
use crate::destination::{Body, Content, PutOptions};
use crate::file::FileType;
use crate::index::IndexPack;
use crate::pack::{FinishedPack, PackBuilder};
use crate::repository::Repository;

impl Repository {
    /// Ends a pack and stores it. Returns how the index describes it, and its size in bytes.
    pub(crate) fn save_pack(&self, pack: PackBuilder) -> Result<(IndexPack, u64)> {
        self.put_pack(pack.finish(self.key())?)
    }

    /// Stores a finished pack. Returns how the index describes it, and its size in bytes.
    pub(crate) fn put_pack(&self, pack: FinishedPack) -> Result<(IndexPack, u64)> {
        let content = match pack.blobs.first().map(|blob| blob.blob_type) {
            Some(BlobType::Tree) => Content::Metadata,
            _ => Content::Data,
        };
        let body = Body::new(bytes::Bytes::from_owner(pack.bytes), pack.id);
        // The same bytes may be there already, from a run that was killed.
        let options = PutOptions {
            create_only: false,
            content,
        };
        let size = body.bytes().len() as u64;
        self.destination()
            .put(&FileType::Pack.key(&pack.id), &body, options)
            .map_err(|error| error.or_on(format_args!("destination {}", self.name())))?;
        Ok((IndexPack::new(pack.id, &pack.blobs), size))
    }
}
