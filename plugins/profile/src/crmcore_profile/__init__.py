"""Profile: what is known of customers, how sure that is, and what their behaviour says."""

from crmcore_profile.attributes import AttributeSettings
from crmcore_profile.domain import Asked, Question, Stated, TakenBack
from crmcore_profile.plugin import Profile

__all__ = ["Asked", "AttributeSettings", "Profile", "Question", "Stated", "TakenBack"]
