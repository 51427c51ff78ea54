"""The service's unit of work: a transaction with its repositories."""

from functools import cached_property

from rappit_common.unit_of_work import UnitOfWork

from rappit_identity.repository import (
    ApiKeyRepository,
    LoginRepository,
    OperatorRepository,
    OrganizationRepository,
    RefreshTokenRepository,
    UserRepository,
)


class IdentityUnit(UnitOfWork):
    """One transaction over accounts."""

    @cached_property
    def organizations(self) -> OrganizationRepository:
        """Merchants."""
        return OrganizationRepository(self.session)

    @cached_property
    def logins(self) -> LoginRepository:
        """E-mail addresses and whose they are."""
        return LoginRepository(self.session)

    @cached_property
    def users(self) -> UserRepository:
        """People of organizations."""
        return UserRepository(self.session)

    @cached_property
    def operators(self) -> OperatorRepository:
        """People of the platform."""
        return OperatorRepository(self.session)

    @cached_property
    def refresh_tokens(self) -> RefreshTokenRepository:
        """Sessions."""
        return RefreshTokenRepository(self.session)

    @cached_property
    def api_keys(self) -> ApiKeyRepository:
        """Programs' keys."""
        return ApiKeyRepository(self.session)
