"""Deleting asks in a dialog, which says how many, takes a reason, and can be left by the keyboard."""

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from jobs.models import Job
from jobs.states import State
from tests.cluster import until

#: What any page's form looks like; the pages have theirs beside their rows.
FORM = """
const form = document.createElement("form");
form.method = "post";
form.id = "theirs";
form.action = "/hangfire/jobs/job/act/";
const add = (type, name, value) => {
  const field = document.createElement(type);
  Object.assign(field, {name, value});
  form.append(field);
  return field;
};
for (const id of arguments[0]) add("input", "job", id).type = "hidden";
add("input", "seen", "failed").type = "hidden";
add("input", "next", "/hangfire/jobs/job/failed/").type = "hidden";
add("button", "action", "delete").textContent = "Delete them";
document.getElementById("main").append(form);
"""


def open_form(browser, count):
    jobs = [
        Job.objects.create(func="a.b", arguments={"args": [], "kwargs": {}}, state=State.FAILED)
        for _ in range(count)
    ]
    browser.log_in_as_staff()
    browser.open("/hangfire/jobs/job/failed/")
    browser.driver.execute_script(FORM, [job.pk for job in jobs])
    browser.find("#theirs button").click()
    return jobs


def states():
    return set(Job.objects.filter(func="a.b").values_list("state", flat=True))


def test_the_dialog_deletes_with_the_reason_given(browser):
    open_form(browser, 2)
    browser.wait_for("Delete 2 jobs?")
    # The form may be gone by the time: an update replaces what it stands in.
    browser.driver.execute_script("document.getElementById('theirs').remove()")
    browser.driver.switch_to.active_element.send_keys("no longer needed", Keys.ENTER)
    browser.wait_for("2 jobs deleted.")
    assert states() == {"deleted"}
    assert Job.objects.filter(func="a.b").first().reason.endswith(": no longer needed")
    assert browser.complaints() == []


def test_escape_leaves_it_and_nothing_is_deleted(browser):
    open_form(browser, 1)
    browser.wait_for("Delete this job?")
    browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    until(lambda: not browser.driver.find_elements(By.CSS_SELECTOR, "dialog[open]"))
    assert states() == {"failed"}
    assert browser.driver.switch_to.active_element.text == "Delete them"
