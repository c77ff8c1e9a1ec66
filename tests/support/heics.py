"""A HEIC file, as a phone that was held upright writes it: what reads HEIC here can't write it.

It is stored as 64 x 48 pixels with a turn, and is 48 x 64 pixels: above is red and, in the right corner, white, below
blue.
"""

import base64

HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ADRpbG9jAAAAAERAAAIAAQAAAAAB7AABAAAAAAAAALQAAgAAAAACoAABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAA"
    "AAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZodmNDAQNwAAAA"
    "kAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq"
    "5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xh"
    "cAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBpeGkAAAAAAwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEA"
    "AQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAOBtZGF0AAAAsCgBrwng4wWeEmUv/AFftAnTt/+9H4vj0Bx9/L+k"
    "3+wmlmzE0lWjGQdm90zN0/GXE4rEnO9ca5cfO0fDDCt6P2d77tjwN27Wcn//s/n/+f/kvu1ooeybAbP//IBAw/l2eL/4S4i2+9/v"
    "a5ZZhllagnrc3Ni6YkwCbAlVjpmpCJRXyBRkI80Fq++90YEVxakhAjsGUvYkR/9WDoWdZXaAWsq9/Z50z37ouadPTNE7CQNOAAAA"
    "BkV4aWYAAE1NACoAAAAIAAEBEgADAAAAAQAGAAAAAAAA"
)


def heic_that_claims(side: int) -> bytes:
    """Return a HEIC file whose header claims so many pixels a side."""
    at = HEIC.index(b"ispe") + 8
    return HEIC[:at] + side.to_bytes(4, "big") * 2 + HEIC[at + 8 :]
