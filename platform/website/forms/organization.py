from django import forms


class OrganizationForm(forms.Form):
    name = forms.CharField(max_length=80, label="Organization name")
