"""From files to arrays: archives, manifest, audit, the one decoder, the cache, the order of samples."""
