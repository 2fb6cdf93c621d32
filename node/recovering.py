"""How a node comes by a disaster recovery (docs/spec/disaster-recovery.md, section 3): from its
operator, or from a certified block that rests on it.
"""

from __future__ import annotations

from medquorum.certificate import verify_certificate
from medquorum.errors import VerificationError
from medquorum.genesis import Genesis
from medquorum.limits import RECOVERY_FILE_BYTES_MAX
from medquorum.recovery import recovery_in
from medquorum.recovery_file import RecoveryFile
from medquorum.transaction import Transaction
from node.chain import Chain
from node.errors import IdentityError, RecoveryRefusedError
from node.home import Home
from node.wire import CertifiedBlock


def installed_recovery(home: Home, genesis: Genesis) -> Transaction | None:
    """What `medquorum recovery apply` has put into the home, verified again; None if nothing.

    Raises IdentityError if the file does not hold, OSError.
    """
    path = home.recovery_file
    if not path.exists():
        return None
    with path.open("rb") as stream:
        data = stream.read(RECOVERY_FILE_BYTES_MAX + 1)
    try:
        verified = RecoveryFile.load(data).verify(genesis)
    except VerificationError as error:
        raise IdentityError(f"{path}: {error}") from None
    if verified.transaction is None or not verified.powers.enough:
        raise IdentityError(f"{path}: it is not signed by enough organisations, or not combined")
    return verified.transaction


def expect_installed(home: Home, chain: Chain) -> None:
    """Let the chain adopt what is in the home, now or when it is there. Raises IdentityError."""
    handed_in = installed_recovery(home, chain.genesis)
    if handed_in is None:
        return
    try:
        chain.expect(handed_in)
    except RecoveryRefusedError as error:
        raise IdentityError(
            f"{home.recovery_file} does not continue the chain that is here: {error}. Remove the"
            " file if it is not meant for this chain; 'medquorum recovery' tells more"
        ) from None


def adopt_from(chain: Chain, block: CertifiedBlock) -> None:
    """If organisations named those who certified this block, adopt them (rule Z11).

    Does nothing if the block rests on no recovery. Raises RecoveryRefusedError, VerificationError,
    DecodeError: then the block is bad.
    """
    if block.header.validators_hash == chain.tip.validators.hash() or not block.transactions:
        return
    first = Transaction.decode(block.transactions[0])
    recovery = recovery_in(first.body.operations)
    if recovery is None:
        return
    # First that they certified it: a recovery alone, as nobody has acted upon it, changes nothing
    # on a node whose operator did not ask for it.
    verify_certificate(
        engine=chain.genesis.engine,
        header=block.header,
        result=block.result,
        certificate=block.certificate,
        validators=recovery.statement.validator_set(),
    )
    if not first.signatures_hold():
        raise VerificationError("transaction_signature", "the recovery's transaction is forged")
    chain.adopt(first)
