"""People of MakeHuman bodies, garments, hair and skins of the asset pack."""
